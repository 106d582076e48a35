// One system from its birth to its end: killed in turn, its power cut in between, everything compared with the chain.

import { setTimeout as sleep } from 'node:timers/promises';

import { type Compared, compareWithChain } from '../support/chain-compare.ts';
import { crashRun } from '../support/crash-run.ts';
import { type Live, startLive } from '../support/live.ts';
import { startLoad } from '../support/load.ts';
import { type Disk, forgetProcesses, makeDisk, standStill } from '../support/power-cut.ts';

/** Figures of episodes. */
export interface Figures {
  readonly episodes: number;
  readonly calls: number;
  readonly answered_allows: number;
  readonly kills: Readonly<Record<string, number>>;
  readonly power_cuts: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly chain_rows_compared: number;
  readonly missing: number;
  readonly doubled: number;
  readonly gaps: number;
  readonly broken_chains: number;
}

export const NOTHING: Figures = {
  episodes: 0,
  calls: 0,
  answered_allows: 0,
  kills: {},
  power_cuts: 0,
  refused: {},
  chain_rows_compared: 0,
  missing: 0,
  doubled: 0,
  gaps: 0,
  broken_chains: 0,
};

/** Adds figures, member by member. */
export const sumOf = (a: Figures, b: Figures): Figures => merged(a, b) as Figures;

type Sums = { readonly [name: string]: number | Sums };

function merged(a: object, b: object): object {
  const sum: Record<string, number | object> = { ...(a as Sums) };
  for (const [name, value] of Object.entries(b as Sums)) {
    const before = sum[name] ?? (typeof value === 'number' ? 0 : {});
    sum[name] =
      typeof value === 'number' ? (before as number) + value : merged(before as object, value);
  }
  return sum;
}

export interface EpisodeOptions {
  readonly place: string;
  readonly goOn: () => boolean;
  readonly random: () => number;
  readonly power: boolean;
  readonly log: (line: string) => void;
}

/** A system grows with what it has decided; a new one keeps images small and copies short. */
const ALLOWS_MAX = 150_000;
const KILLS_BETWEEN_CUTS = 10;
const WIDTH = 32;
const DISK_MIB = 16_384;
const LOAD_BEFORE_CUT_MS = 2_000;

export async function episode(options: EpisodeOptions): Promise<Figures> {
  const { place, goOn, random, power, log } = options;
  const disk = power ? await makeDisk(place, DISK_MIB) : undefined;
  const live = await startLive(disk === undefined ? {} : { dir: disk.dir });
  let figures: Figures = { ...NOTHING, episodes: 1 };
  const allowed: string[] = [];
  try {
    while (goOn() && allowed.length < ALLOWS_MAX) {
      const run = await crashRun(live, {
        width: WIDTH,
        random,
        goOn: ({ kills }) => kills < KILLS_BETWEEN_CUTS && goOn(),
      });
      allowed.push(...run.allowed);
      figures = sumOf(figures, {
        ...NOTHING,
        calls: run.calls,
        refused: run.refused,
        kills: run.kills,
      });
      log(
        `${allowed.length} answered allows, ${Object.values(figures.kills).reduce((a, b) => a + b, 0)} kills`,
      );
      if (disk !== undefined) {
        figures = sumOf(
          figures,
          await cutOnce(live, disk, { name: `cut-${figures.power_cuts}`, allowed, log }),
        );
      }
    }
    const compared = await compareWithChain(live, allowed);
    return sumOf(figures, { ...NOTHING, answered_allows: allowed.length, ...told(compared) });
  } finally {
    await live.close();
    await disk?.remove();
  }
}

const told = ({ rows, missing, doubled, gaps, finding }: Compared) => ({
  chain_rows_compared: rows,
  missing,
  doubled,
  gaps,
  broken_chains: finding === undefined ? 0 : 1,
});

/** Cuts the power under load, starts a second system on what the disk then holds, and compares it with what was told before. */
async function cutOnce(
  live: Live,
  disk: Disk,
  {
    name,
    allowed,
    log,
  }: { readonly name: string; readonly allowed: string[]; readonly log: (line: string) => void },
): Promise<Figures> {
  const load = startLoad(live, WIDTH);
  await sleep(LOAD_BEFORE_CUT_MS);
  const before = [...allowed, ...load.seen.allowed];
  const after = await cutNow(live, disk, name);
  const { allowed: more, others } = await load.stop();
  allowed.push(...more);
  const calls = more.length + [...others.values()].reduce((sum, times) => sum + times, 0);
  try {
    const second = await startLive({ dir: after.dir });
    try {
      const compared = await compareWithChain(second, before);
      log(`power cut after ${before.length} answered allows: ${JSON.stringify({ ...compared })}`);
      return {
        ...NOTHING,
        calls,
        power_cuts: 1,
        refused: Object.fromEntries(others),
        ...told(compared),
      };
    } finally {
      await second.close();
    }
  } finally {
    await after.remove();
  }
}

/** What the disk of a running system would hold, ready for a system to be started on it. */
export async function cutNow(live: Live, disk: Disk, name: string): Promise<Disk> {
  const goOn = await standStill(Object.values(live.system.pids()));
  try {
    const after = await disk.cut(name);
    await forgetProcesses(after.dir);
    return after;
  } finally {
    goOn();
  }
}

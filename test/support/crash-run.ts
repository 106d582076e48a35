// kill -9 in turn of every process of a running system under load, for as many kills and answers as are asked for.

import { setTimeout as sleep } from 'node:timers/promises';

import type { Live } from './live.ts';
import { startLoad } from './load.ts';

export interface CrashRun {
  readonly calls: number;
  /** Decision ids of answered allows. */
  readonly allowed: readonly string[];
  /** How often each refusal or broken connection was seen. */
  readonly refused: Readonly<Record<string, number>>;
  readonly kills: Readonly<Record<string, number>>;
  readonly seconds: number;
}

export interface CrashOptions {
  readonly width: number;
  /** Whether to go on after so many kills and answered allows. */
  readonly goOn: (so: { readonly kills: number; readonly allowed: number }) => boolean;
  /** A number from 0 up to 1, for the order and the moments of the kills. */
  readonly random: () => number;
  readonly log?: (line: string) => void;
}

const PAUSE_MS_MAX = 300;

/** Ends when nothing more is wanted and everything is ready again. */
export async function crashRun(live: Live, options: CrashOptions): Promise<CrashRun> {
  const startedAt = performance.now();
  const load = startLoad(live, options.width);
  const kills: Record<string, number> = {};
  const { random, log } = options;
  let count = 0;
  let round: string[] = [];
  while (options.goOn({ kills: count, allowed: load.seen.allowed.length })) {
    // Each process once in each round, in an order of its own.
    if (round.length === 0) round = shuffled(Object.keys(live.system.pids()), random);
    const name = round.pop() ?? '';
    await sleep(random() * PAUSE_MS_MAX);
    await live.system.kill(name);
    count += 1;
    kills[name] = (kills[name] ?? 0) + 1;
    await live.system.ready(name);
    log?.(`${count} kills, ${load.seen.allowed.length} answered allows; the last was ${name}`);
  }
  await live.system.ready();
  const { allowed, others } = await load.stop();
  const refused = Object.fromEntries([...others].sort(([, a], [, b]) => b - a));
  const calls = allowed.length + Object.values(refused).reduce((sum, times) => sum + times, 0);
  return { calls, allowed, refused, kills, seconds: (performance.now() - startedAt) / 1_000 };
}

function shuffled(names: readonly string[], random: () => number): string[] {
  return names
    .map((name) => ({ name, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ name }) => name);
}

/** Numbers from 0 up to 1 that are the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

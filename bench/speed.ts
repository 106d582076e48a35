// The row `speed`: ours end to end beside its physical floor and OPA's own server, in one run, rounds interleaved.

import { anyFreePort } from '#cli/local/ports.ts';

import { endChildren, type Generator, runBusLoad, startEcho, startGenerator } from './children.ts';
import { chained, compareWithChain, type Evidence, idsFile } from './evidence.ts';
import type { Latency } from './histogram.ts';
import type { LoadMode, LoadResult } from './load.ts';
import { startOpaServer } from './opa-server.ts';
import { lastInput, type Ours, startOurs } from './ours.ts';
import { cpuOf, memoryOf, type Pids } from './processes.ts';
import type { Row, RowContext } from './rows.ts';
import { speedTables } from './speed-tables.ts';
import type { Requests } from './tenant.ts';

/** One system's figures of one window. */
export interface Window {
  readonly latency: Latency;
  readonly achieved: number;
  readonly ends: Readonly<Record<string, number>>;
  /** Microseconds for each answer, by process, in the measured time. */
  readonly cpu: Readonly<Record<string, number>>;
  /** The same from the first call, warm-up too, until everything was chained. Ours only. */
  readonly cpuUntilChained?: Readonly<Record<string, number>>;
}

/** What is measured of each system. */
const MODES = {
  '1,000/s': { kind: 'open', perSecond: 1_000 },
  '2,000/s': { kind: 'open', perSecond: 2_000 },
  '64 connections': { kind: 'closed', connections: 64 },
} as const satisfies Record<string, LoadMode>;
export type ModeName = keyof typeof MODES;

/** In the order in which a round measures them. */
const SYSTEMS = ['http', 'request', 'publish', 'plain', 'limited', 'opa'] as const;
export type SystemName = (typeof SYSTEMS)[number];
/** Every system in every mode, which is one round. */
const WINDOWS = SYSTEMS.flatMap((system) =>
  (Object.keys(MODES) as ModeName[]).map((mode) => [system, mode] as const),
);

export type Round = Partial<Record<SystemName, Partial<Record<ModeName, Window>>>>;

export interface SpeedFigures {
  readonly rounds: readonly Round[];
  readonly evidence: Evidence;
  readonly memory: Readonly<Record<'idle' | 'after', ReturnType<typeof memoryOf>>>;
  /** The load generator against a bare node:http echo. */
  readonly generator: { readonly p50: number; readonly most: number; readonly cpuMicros: number };
  readonly [further: string]: unknown;
}

interface Bench {
  readonly ours: Ours;
  readonly generator: Generator;
  readonly seconds: number;
  readonly warmSeconds: number;
  readonly ids: string;
}

interface Target {
  readonly url: string;
  readonly requests: Requests;
  readonly pids: () => Pids;
  readonly ours: boolean;
}

export const speed: Row = async (context) => {
  const { log, rounds, quick } = context;
  const ours = await startOurs({ log });
  try {
    const generator = await startGenerator();
    const sizes = quick ? { seconds: 2, warmSeconds: 1 } : { seconds: 6, warmSeconds: 2 };
    const bench = { ours, generator, ...sizes, ids: await idsFile() };
    const figures = await measure(bench, rounds, context);
    for (const table of speedTables(figures)) context.table(table);
    return figures;
  } finally {
    await endChildren();
    await ours.stop();
  }
};

async function measure(bench: Bench, rounds: number, { log }: RowContext): Promise<SpeedFigures> {
  const { ours, ids } = bench;
  const memoryIdle = memoryOf(ours.pids());
  const first = await fetch(ours.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...ours.plain[0]?.headers },
    body: ours.plain[0]?.body ?? '',
  });
  if (first.status !== 200) throw new Error(`the first call: ${await first.text()}`);
  const input = await lastInput(ours);
  const opa = await startOpaServer([ours.floor, ours.policy]);
  try {
    const targets = await httpTargets(bench, { input, opa });
    const busParts = await busTargets(bench, input.length * 2);
    const generatorCost = await ownCost(bench);
    const done: Round[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      const figures: Round = {};
      for (const [system, mode] of WINDOWS) {
        log(`round ${round} of ${rounds}: ${system}, ${mode}`);
        const target = targets[system];
        const window =
          target === undefined
            ? await busParts(system as 'request' | 'publish', MODES[mode])
            : await windowOf(bench, target, MODES[mode]);
        if (window !== undefined) figures[system] = { ...figures[system], [mode]: window };
      }
      done.push(figures);
    }
    log('comparing what was answered with the chain');
    return {
      rounds: done,
      evidence: await compareWithChain(ours, ids),
      memory: { idle: memoryIdle, after: memoryOf(ours.pids()) },
      generator: generatorCost,
      seconds: bench.seconds,
      body_bytes: ours.plain[0]?.body.length,
    };
  } finally {
    await opa.stop();
  }
}

async function httpTargets(
  { ours }: Bench,
  { input, opa }: { input: string; opa: { url: string; pid: number } },
): Promise<Partial<Record<SystemName, Target>>> {
  const port = await anyFreePort();
  const echo = await startEcho({ part: 'fastify', port });
  const target = (requests: Requests): Target => ({
    url: ours.url,
    requests,
    pids: ours.pids,
    ours: true,
  });
  return {
    http: {
      url: `http://127.0.0.1:${port}/`,
      requests: ours.plain,
      pids: () => ({ echo: echo.pid }),
      ours: false,
    },
    plain: target(ours.plain),
    limited: target(ours.limited),
    opa: {
      url: opa.url,
      requests: [{ headers: {}, body: `{"input":${input}}` }],
      pids: () => ({ opa: opa.pid }),
      ours: false,
    },
  };
}

/** The parts of the floor that go over the bus; there is no closed loop for them. */
async function busTargets({ ours, seconds, warmSeconds }: Bench, recordBytes: number) {
  const bus = ours.operatorOptions;
  const subject = { request: 'bench.echo', publish: 'bench.durable' };
  await startEcho({ part: 'bus', bus, subject: subject.request });
  await ours.operator.jsm.streams.add({
    name: 'BENCH',
    subjects: [subject.publish],
    max_bytes: 1e9,
  });
  const run = await runBusLoad();
  return async (part: 'request' | 'publish', mode: LoadMode): Promise<Window | undefined> => {
    if (mode.kind === 'closed') return undefined;
    const { perSecond } = mode;
    const sizes = { bytes: part === 'request' ? 1_400 : recordBytes, warmSeconds, seconds };
    const job = { part, bus, subject: subject[part], perSecond, ...sizes };
    return { latency: await run(job), achieved: perSecond, ends: {}, cpu: {} };
  };
}

async function windowOf(bench: Bench, target: Target, mode: LoadMode): Promise<Window> {
  const { generator, seconds, warmSeconds, ours, ids } = bench;
  const edges: Partial<Record<'begin' | 'end', Record<string, number>>> = {};
  const before = cpuOf(target.pids());
  const result: LoadResult = await generator.run(
    {
      url: target.url,
      mode,
      warmSeconds,
      seconds,
      requests: target.requests,
      ...(target.ours ? { idsFile: ids } : {}),
    },
    (edge) => (edges[edge] = cpuOf(target.pids())),
  );
  const { latency, achieved, ends } = result;
  const cpu = per(achieved * result.seconds, edges.begin, edges.end);
  if (!target.ours) return { latency, achieved, ends, cpu };
  await chained(ours);
  const cpuUntilChained = per(result.sent, before, cpuOf(target.pids()));
  return { latency, achieved, ends, cpu, cpuUntilChained };
}

function per(
  answers: number,
  from: Readonly<Record<string, number>> = {},
  to: Readonly<Record<string, number>> = {},
): Record<string, number> {
  const micros = (name: string) => ((to[name] ?? 0) - (from[name] ?? 0)) * 1_000;
  return Object.fromEntries(Object.keys(to).map((name) => [name, micros(name) / answers]));
}

async function ownCost({ ours, generator, seconds, warmSeconds }: Bench) {
  const port = await anyFreePort();
  await startEcho({ part: 'http', port });
  const url = `http://127.0.0.1:${port}/`;
  const job = { url, warmSeconds, seconds, requests: ours.plain };
  const open = await generator.run({ ...job, mode: MODES['1,000/s'] });
  const closed = await generator.run({ ...job, mode: MODES['64 connections'] });
  const cpuMicros = (closed.cpuMs * 1_000) / (closed.achieved * closed.seconds);
  return { p50: open.latency.p50, most: closed.achieved, cpuMicros };
}

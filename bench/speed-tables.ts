// The tables of the row `speed`: figures by system, ratios against their targets, CPU by process.

import type { ModeName, Round, SpeedFigures, SystemName, Window } from './speed.ts';
import { figure, type Table } from './table.ts';

/** Names for people. */
const NAMES = {
  http: 'floor: fastify POST echo',
  request: 'floor: NATS request-reply',
  publish: 'floor: grouped durable publish',
  plain: 'ours, durable evidence',
  limited: 'ours, ceilings and call ids',
  opa: 'OPA server, same policy',
} as const satisfies Record<SystemName, string>;

export function median(numbers: readonly number[]): number {
  const sorted = numbers.filter(Number.isFinite).toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

type Read = (window: Window) => number;

/** Median over the rounds of one figure of one system. */
function over(rounds: readonly Round[], system: SystemName, mode: ModeName, read: Read): number {
  const windows = rounds.flatMap((round) => round[system]?.[mode] ?? []);
  return median(windows.map(read));
}

const total = (cpu: Readonly<Record<string, number>> = {}, without = '') =>
  Object.entries(cpu).reduce((sum, [name, micros]) => sum + (name === without ? 0 : micros), 0);

export function speedTables(figures: SpeedFigures): Table[] {
  return [bySystem(figures), targets(figures), cpuByProcess(figures)];
}

function bySystem({ rounds, generator }: SpeedFigures): Table {
  const latencies = (system: SystemName, mode: ModeName) =>
    (['p50', 'p99', 'p999'] as const).map((q) =>
      figure(over(rounds, system, mode, ({ latency }) => latency[q])),
    );
  const rows = (Object.keys(NAMES) as SystemName[]).map((system) => [
    NAMES[system],
    ...latencies(system, '1,000/s'),
    ...latencies(system, '2,000/s'),
    figure(over(rounds, system, '64 connections', ({ achieved }) => achieved)),
    figure(over(rounds, system, '64 connections', ({ cpu }) => total(cpu))),
  ]);
  return {
    title: `Latency in ms at a fixed rate, most a second at 64 connections: medians of ${rounds.length} interleaved rounds`,
    columns: [
      '',
      '1,000/s p50',
      'p99',
      'p99.9',
      '2,000/s p50',
      'p99',
      'p99.9',
      'most/s',
      'CPU us/call',
    ],
    rows,
    notes: [
      `The load generator shares the cores: against a bare node:http echo it shows a p50 of ${figure(generator.p50)} ms at`,
      `1,000/s, and at 64 connections ${figure(generator.most)}/s for ${figure(generator.cpuMicros)} us of its own CPU a request.`,
      ...failures(rounds),
    ],
  };
}

/** Answers that were none, by system and window: a figure beside them says little. */
function failures(rounds: readonly Round[]): string[] {
  const lines: string[] = [];
  for (const [index, round] of rounds.entries()) {
    for (const system of Object.keys(round) as SystemName[]) {
      for (const [mode, window] of Object.entries(round[system] ?? {})) {
        const failed = Object.entries(window.ends).filter(([end]) => end !== '200 allow');
        if (failed.length === 0) continue;
        const ends = failed.map(([end, count]) => `${count} x ${end}`).join(', ');
        lines.push(`Round ${index + 1}, ${NAMES[system]}, ${mode}: ${ends}`);
      }
    }
  }
  return lines;
}

interface Target {
  readonly name: string;
  readonly value: number;
  readonly first: number;
  readonly second: number;
  readonly atMost: boolean;
}

function targets({ rounds, evidence }: SpeedFigures): Table {
  const ratio = (above: (round: Round) => number, below: (round: Round) => number) =>
    median(rounds.map((round) => above(round) / below(round)));
  const p50 = (round: Round, system: SystemName) => round[system]?.['1,000/s']?.latency.p50 ?? NaN;
  const most = (round: Round, system: SystemName) =>
    round[system]?.['64 connections']?.achieved ?? NaN;
  const floor = (round: Round) =>
    p50(round, 'http') + p50(round, 'request') + p50(round, 'publish');
  const cpu = over(rounds, 'plain', '64 connections', ({ cpuUntilChained }) =>
    total(cpuUntilChained, 'postgres'),
  );
  const all: Target[] = [
    {
      name: "p50 at 1,000/s over the floor's sum",
      value: ratio((round) => p50(round, 'plain'), floor),
      first: 1.8,
      second: 1.25,
      atMost: true,
    },
    {
      name: "most at 64 connections over OPA's server",
      value: ratio(
        (round) => most(round, 'plain'),
        (round) => most(round, 'opa'),
      ),
      first: 1.2,
      second: 2,
      atMost: false,
    },
    {
      name: 'CPU us per decision at peak, our processes and the broker, until chained',
      value: cpu,
      first: 220,
      second: 110,
      atMost: true,
    },
    {
      name: 'answered decisions that the chain lacks',
      value: evidence.missing,
      first: 0,
      second: 0,
      atMost: true,
    },
  ];
  return {
    title: 'Targets',
    columns: ['', 'measured', 'first', '', 'then', ''],
    rows: all.map(({ name, value, first, second, atMost }) => {
      const met = (bound: number) =>
        (atMost ? value <= bound : value >= bound) ? 'met' : 'not met';
      const sign = atMost ? '<=' : '>=';
      return [
        name,
        figure(value),
        `${sign} ${first}`,
        met(first),
        `${sign} ${second}`,
        met(second),
      ];
    }),
    notes: [
      `Floor's sum at 1,000/s: ${figure(median(rounds.map(floor)))} ms. Compared by id: ${figure(evidence.answered)} answered` +
        ` decisions; ${figure(evidence.unanswered)} more are in the chain whose answer came too late.`,
    ],
  };
}

function cpuByProcess({ rounds, memory }: SpeedFigures): Table {
  const names = Object.keys(memory.idle);
  const cells = (system: SystemName, mode: ModeName, key: 'cpu' | 'cpuUntilChained') =>
    names.map((name) => figure(over(rounds, system, mode, (window) => window[key]?.[name] ?? NaN)));
  const megabytes = (when: 'idle' | 'after') =>
    names.map((name) => figure(memory[when][name]?.rss ?? NaN));
  return {
    title: 'CPU in microseconds per decision, and memory in MB, by process',
    columns: ['', ...names],
    rows: [
      ['at 1,000/s', ...cells('plain', '1,000/s', 'cpu')],
      ['at 64 connections', ...cells('plain', '64 connections', 'cpu')],
      ['the same, until all is chained', ...cells('plain', '64 connections', 'cpuUntilChained')],
      ['with ceilings and call ids', ...cells('limited', '64 connections', 'cpuUntilChained')],
      ['memory before', ...megabytes('idle')],
      ['memory after', ...megabytes('after')],
    ],
  };
}

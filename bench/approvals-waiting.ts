// Ten thousand held calls, and whether they make other decisions slower: two systems side by side, one with all of them and
// one with none, asked in turn within one run.

import type { RunningSystem } from '#cli/local/system.ts';

import { refund, type Sides, whole } from './approval-sides.ts';
import { type Generator, startGenerator } from './children.ts';
import { Histogram } from './histogram.ts';
import type { LoadJob, LoadResult } from './load.ts';
import { cpuOf } from './processes.ts';
import type { Tell } from './progress.ts';
import { median } from './speed-tables.ts';
import { figure, type Table } from './table.ts';

const AT_ONCE = 16;
const LISTS = 20;
const SECONDS = 3;
const SECONDS_QUICK = 1;
const WARM_SECONDS = 0.5;
/** What a decision needs; everything else works behind it. */
const DECIDING = ['ingress', 'decision-worker', 'nats'];

/** Holds so many calls, and waits until all of them can be shown. Gives how many were held and taken a second. */
export async function holdMany(
  side: Sides,
  { count, tell }: { readonly count: number; readonly tell: Tell },
): Promise<{ readonly heldPerSecond: number; readonly takenPerSecond: number }> {
  const beganAt = performance.now();
  const perSecond = () => (count * 1_000) / (performance.now() - beganAt);
  const held: string[] = [];
  let begun = 0;
  const lane = async () => {
    while (begun < count) {
      begun += 1;
      const args = refund();
      let answer = await side.ask('refund_order', args);
      while (answer.verdict !== 'escalate') answer = await side.ask('refund_order', args);
      held.push(answer.approval_id);
      tell('calls held', held.length, count);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  const heldPerSecond = perSecond();
  // They are taken about in the order in which they were held.
  for (const [index, id] of held.entries()) {
    if (index % LOOK_AT_EACH !== 0) continue;
    tell('calls that people see', index, count);
    while (await isUnknown(side, id)) continue;
  }
  const last = held.at(-1);
  if (last !== undefined) await whole(side, last);
  return { heldPerSecond, takenPerSecond: perSecond() };
}

const LOOK_MS = 200;
const LOOK_AT_EACH = 100;

async function isUnknown({ admin }: Sides, id: string): Promise<boolean> {
  const known = await admin('GET', `approvals/${id}`).then(
    () => true,
    () => false,
  );
  if (!known) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  return !known;
}

interface Target {
  readonly system: RunningSystem;
  readonly side: Sides;
}

/** Figures of one system in one round. */
interface Figures {
  /** Decisions a second of callers who ask again at once. */
  readonly perSecond: number;
  /** Microseconds for each of them, of the processes that decide, and of all. */
  readonly deciding: number;
  readonly all: number;
  /** Milliseconds at a fixed rate. */
  readonly allowP50: number;
  readonly allowP99: number;
  readonly repeatP50: number;
  readonly repeatP99: number;
  readonly listP50: number;
}

type Which = 'none' | 'many';
type Round = Readonly<Record<Which, Figures>>;

/** Asks both in turn. */
export async function compareWaiting(
  targets: Readonly<Record<Which, Target>>,
  { rounds, quick, log }: { rounds: number; quick: boolean; log: (line: string) => void },
): Promise<{ readonly rounds: readonly Round[]; readonly table: (waiting: number) => Table }> {
  const generator = await startGenerator();
  const seconds = quick ? SECONDS_QUICK : SECONDS;
  const done: Round[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    log(`decisions beside none and beside all of them: round ${round} of ${rounds}`);
    const measure = (which: Which) => figuresOf(targets[which], generator, seconds);
    // Whoever comes second would have the warmer machine.
    const order: readonly Which[] = round % 2 === 0 ? ['many', 'none'] : ['none', 'many'];
    const figures: Partial<Record<Which, Figures>> = {};
    for (const which of order) figures[which] = await measure(which);
    done.push(figures as Round); // both are there now
  }
  return { rounds: done, table: (waiting) => tableOf(done, waiting) };
}

async function figuresOf(
  { system, side }: Target,
  generator: Generator,
  seconds: number,
): Promise<Figures> {
  const allow = [side.request('lookup_order', { order_id: 'ord_1001' })];
  const held = refund();
  await side.ask('refund_order', held);
  const job = { url: side.url, warmSeconds: WARM_SECONDS, seconds };
  const run = async (
    of: Pick<LoadJob, 'mode' | 'requests'>,
  ): Promise<LoadResult & { cpu: Cpu }> => {
    const edges: Partial<Record<'begin' | 'end', Record<string, number>>> = {};
    const result = await generator.run(
      { ...job, ...of },
      (edge) => (edges[edge] = cpuOf(system.pids())),
    );
    if (result.refusals.max > 0)
      throw new Error(`not all answered: ${JSON.stringify(result.ends)}`);
    return { ...result, cpu: cpuFor(result.answers, edges.begin, edges.end) };
  };
  const most = await run({ mode: { kind: 'closed', connections: AT_ONCE }, requests: allow });
  const plain = await run({ mode: { kind: 'open', perSecond: 100 }, requests: allow });
  const repeats = [side.request('refund_order', held)];
  const repeat = await run({ mode: { kind: 'open', perSecond: 50 }, requests: repeats });
  const lists = new Histogram();
  for (let turn = 0; turn < LISTS; turn += 1) {
    const at = performance.now();
    await side.admin('GET', 'approvals');
    lists.record(performance.now() - at);
  }
  return {
    perSecond: most.achieved,
    ...most.cpu,
    allowP50: plain.latency.p50,
    allowP99: plain.latency.p99,
    repeatP50: repeat.latency.p50,
    repeatP99: repeat.latency.p99,
    listP50: lists.quantile(0.5),
  };
}

type Cpu = Pick<Figures, 'deciding' | 'all'>;

function cpuFor(
  answers: number,
  from: Readonly<Record<string, number>> = {},
  to: Readonly<Record<string, number>> = {},
): Cpu {
  const micros = (names: readonly string[]) =>
    names.reduce((sum, name) => sum + (to[name] ?? 0) - (from[name] ?? 0), 0) * 1_000;
  return { deciding: micros(DECIDING) / answers, all: micros(Object.keys(to)) / answers };
}

const ROWS = [
  ['allow: decisions a second, 16 callers', 'perSecond'],
  ['allow: CPU of ingress, worker and broker, µs', 'deciding'],
  ['allow: CPU of all processes, µs', 'all'],
  ['allow at 100/s: p50, ms', 'allowP50'],
  ['allow at 100/s: p99, ms', 'allowP99'],
  ['repeat of a held call at 50/s: p50, ms', 'repeatP50'],
  ['repeat of a held call at 50/s: p99, ms', 'repeatP99'],
  ['list of what waits (50), p50, ms', 'listP50'],
] as const satisfies readonly (readonly [string, keyof Figures])[];

function tableOf(rounds: readonly Round[], waiting: number): Table {
  const of = (which: Which, name: keyof Figures) => rounds.map((round) => round[which][name]);
  return {
    title: `Decisions beside held calls: medians of ${rounds.length} interleaved rounds`,
    columns: ['', 'none waits', `${figure(waiting)} wait`, 'ratio'],
    rows: ROWS.map(([label, name]) => [
      label,
      figure(median(of('none', name))),
      figure(median(of('many', name))),
      figure(median(rounds.map(({ none, many }) => many[name] / none[name]))),
    ]),
    notes: ["The ratio is the median of the rounds' own ratios."],
  };
}

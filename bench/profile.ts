// `npm run bench -- profile [ingress|decision-worker|audit-chainer] [calls a second]`: where one process spends its
// time at that rate, or at the closed loop's peak, by V8's sampling profiler. For finding hot spots; the profiler itself slows the process down.

import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CHECKOUT } from '#cli/local/places.ts';

import { startGenerator } from './children.ts';
import type { LoadMode } from './load.ts';
import { startOurs } from './ours.ts';
import { clock } from './pace.ts';
import type { Row } from './rows.ts';

const TOP = 40;
const SECONDS = 15;

interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    readonly lineNumber: number;
  };
}

interface Profile {
  /** Microseconds of the monotonic clock. */
  readonly startTime: number;
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** The row. Its process is named by the first argument; default: the decision worker at the peak. */
export const profile: Row = async ({ log, args, table }) => {
  const [named = 'worker', rate] = args;
  const service = named === 'worker' ? 'decision-worker' : named;
  const mode: LoadMode =
    rate === undefined
      ? { kind: 'closed', connections: 64 }
      : { kind: 'open', perSecond: Number(rate) };
  const dir = join(CHECKOUT, '.countersign', 'bench-profiles');
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const ours = await startOurs({
    log,
    env: (name): Record<string, string> =>
      name === service ? { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${dir}` } : {},
  });
  const generator = await startGenerator();
  log(`${SECONDS} s of load`);
  const measured = { begin: 0, end: 0 };
  const result = await generator.run(
    {
      url: ours.url,
      mode,
      warmSeconds: 3,
      seconds: SECONDS,
      requests: ours.plain,
    },
    (edge) => (measured[edge] = clock() * 1_000),
  );
  await ours.stop();
  const read = await readProfile(await largest(dir), measured);
  const busy = sum(read.map(({ micros }) => micros));
  const perDecision = (micros: number) => micros / result.answers;
  table({
    title: `${service}: self time at ${Math.round(result.achieved)} decisions/s`,
    columns: ['function', 'share %', 'us/decision'],
    rows: read
      .slice(0, TOP)
      .map(({ name, micros }) => [
        name,
        ((micros / busy) * 100).toFixed(1),
        perDecision(micros).toFixed(2),
      ]),
  });
  return { service, busyMicrosPerDecision: perDecision(busy), top: read.slice(0, TOP) };
};

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);

/** The main thread's, when threads left theirs too. */
async function largest(dir: string): Promise<string> {
  const files = (await readdir(dir)).map((name) => join(dir, name));
  const sized = async (file: string) => ({ file, bytes: (await stat(file)).size });
  const [first] = (await Promise.all(files.map(sized))).sort((a, b) => b.bytes - a.bytes);
  if (first === undefined) throw new Error('the process left no profile');
  return first.file;
}

/** Self time by function in the measured time, the longest first, without what is idle. */
async function readProfile(
  file: string,
  measured: { readonly begin: number; readonly end: number },
): Promise<{ name: string; micros: number }[]> {
  const profile = JSON.parse(await readFile(file, 'utf8')) as Profile;
  const names = new Map(profile.nodes.map((node) => [node.id, nameOf(node)]));
  const micros = new Map<string, number>();
  let at = profile.startTime;
  for (const [index, id] of profile.samples.entries()) {
    const delta = profile.timeDeltas[index] ?? 0;
    at += delta;
    if (at < measured.begin || at > measured.end) continue;
    const name = names.get(id) ?? '';
    micros.set(name, (micros.get(name) ?? 0) + delta);
  }
  micros.delete('(idle)');
  return [...micros]
    .map(([name, spent]) => ({ name, micros: spent }))
    .sort((a, b) => b.micros - a.micros);
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const file = url.replace(`file://${CHECKOUT}/`, '').replace('node_modules/', '');
  const place = file === '' ? '' : ` ${file}:${lineNumber + 1}`;
  return `${functionName === '' ? '(anonymous)' : functionName}${place}`;
}

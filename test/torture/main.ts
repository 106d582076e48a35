// `npm run torture -- --minutes N`: kills every process of a system under load again and again, cuts its power where
// that can be simulated, and counts what callers were told against the chain. Prints figures, writes JSON, exits 1 when
// anything is missing, double, out of sequence or broken.

import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

import { CHECKOUT } from '#cli/local/places.ts';

import { randomOf } from '../support/crash-run.ts';
import { whyNoPowerCut } from '../support/power-cut.ts';
import { type Control, controlRun } from './control.ts';
import { episode, type Figures, NOTHING, sumOf } from './episode.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    out: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const log = (line: string) => console.error(`${new Date().toISOString().slice(11, 19)}  ${line}`);

/** What is mounted has to be let go of: a run that is broken off ends what it has begun. */
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (stopped = true));

async function main(): Promise<boolean> {
  const startedAt = new Date();
  const seed = Number(values.seed);
  const noPower = await whyNoPowerCut();
  if (noPower !== '') log(`POWER CUTS ARE SKIPPED: ${noPower}. Only processes are killed.`);
  const folder = await mkdtemp(join(tmpdir(), 'countersign-torture-'));
  await chmod(folder, 0o755); // Postgres runs as another user
  try {
    const control = noPower === '' ? await controlRun(join(folder, 'control'), log) : undefined;
    const deadline = performance.now() + Number(values.minutes) * 60_000;
    const goOn = () => !stopped && performance.now() < deadline;
    const random = randomOf(seed);
    let total = NOTHING;
    while (goOn()) {
      const place = join(folder, `episode-${total.episodes}`);
      total = sumOf(total, await episode({ place, goOn, random, power: noPower === '', log }));
    }
    const report = {
      command: `npm run torture -- --minutes ${values.minutes} --seed ${seed}`,
      started_at: startedAt.toISOString(),
      machine: { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version },
      power_cuts_skipped: noPower,
      control,
      ...total,
    };
    const stamp = startedAt.toISOString().slice(0, 19).replaceAll(':', '');
    const file = values.out ?? join(CHECKOUT, '.countersign', 'torture', `${stamp}.json`);
    await mkdir(dirname(file), { recursive: true });
    const text = JSON.stringify(report, null, 2);
    await writeFile(file, `${text}\n`);
    console.log(values.json ? text : `${figuresOf(total, control)}\nFigures: ${file}`);
    if (control?.void === true)
      log('VOID: the control without sync lost nothing, so the cuts prove nothing');
    const { missing, doubled, gaps, broken_chains: broken } = total;
    return missing + doubled + gaps + broken === 0 && control?.void !== true;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Figures for people. */
function figuresOf(total: Figures, control: Control | undefined): string {
  const kills = Object.values(total.kills).reduce((sum, times) => sum + times, 0);
  const lines: [string, number][] = [
    ['calls', total.calls],
    ['answered allows', total.answered_allows],
    ['kills', kills],
    ['power cuts', total.power_cuts],
    ['chain rows compared', total.chain_rows_compared],
    ['answered allows missing', total.missing],
    ['decisions twice in the chain', total.doubled],
    ['gaps', total.gaps],
    ['broken chains', total.broken_chains],
  ];
  if (control !== undefined) {
    lines.push(['control, sync off: answered allows', control.answered_allows]);
    lines.push(['control, sync off: lost by the cut', control.lost]);
  }
  return lines
    .map(([name, count]) => `${name.padEnd(36)} ${String(count).padStart(10)}`)
    .join('\n');
}

process.exit((await main()) ? 0 : 1);

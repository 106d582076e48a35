// `npm run bench [-- rows... --rounds N --quick --json FILE]`: measures this checkout on this machine. README.md says
// how, and how to read it.

import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

import { CHECKOUT } from '#cli/local/places.ts';

import { approvals } from './approvals.ts';
import { authority } from './authority.ts';
import { endChildren } from './children.ts';
import { evidence } from './evidence-speed.ts';
import { hotCounter } from './hot-counter.ts';
import { memory } from './memory.ts';
import { overload } from './overload.ts';
import { profile } from './profile.ts';
import { receipts } from './receipt-cost.ts';
import type { Row } from './rows.ts';
import { soak } from './soak.ts';
import { speed } from './speed.ts';
import { steps } from './steps.ts';
import { tableText } from './table.ts';

const ROWS: Readonly<Record<string, Row>> = {
  speed,
  overload,
  memory,
  soak,
  steps,
  profile,
  receipts,
  authority,
  approvals,
  evidence,
  'hot-counter': hotCounter,
};
const ROUNDS = 5;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
    },
  });
  const [name = 'speed', ...args] = positionals;
  const row = ROWS[name];
  if (row === undefined) {
    console.error(`No row "${name}". There are: ${Object.keys(ROWS).join(', ')}.`);
    process.exitCode = 2;
    return;
  }
  const startedAt = new Date();
  const loadBefore = loadavg()[0] ?? 0;
  const figures = await row({
    args,
    rounds: Number(values.rounds ?? (values.quick ? 1 : ROUNDS)),
    quick: values.quick,
    log: (line) => console.error(line),
    table: (table) => console.log(tableText(table)),
  });
  const [cpu] = cpus();
  const report = {
    command: `npm run bench -- ${process.argv.slice(2).join(' ')}`,
    started_at: startedAt.toISOString(),
    machine: {
      cpu: cpu?.model,
      cores: cpus().length,
      memory_gb: Math.round(totalmem() / 1e9),
      load_before: loadBefore,
      node: process.version,
    },
    ...figures,
  };
  const stamp = startedAt.toISOString().slice(0, 19).replaceAll(':', '');
  const file = values.json ?? join(CHECKOUT, 'bench', 'results', `${stamp}-${name}.json`);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify(report, null, 2)}\n`);
  console.log(`Figures: ${file}`);
}

try {
  await main();
} finally {
  await endChildren();
}
process.exit();

// The row `evidence`: how fast records are chained and sealed, how soon a decision is under a witnessed checkpoint, how an
// outage is caught up with, what search, proof and verification cost over a long chain. On the whole system as `up` runs it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { seedDemo } from '#cli/demo/seed.ts';
import { CHECKOUT, placesIn } from '#cli/local/places.ts';
import { type RunningSystem, startSystem } from '#cli/local/system.ts';
import { readAtRest } from '#host/at-rest.ts';

import { append } from '../services/audit-chainer/append.ts';
import type { Candidate } from '../services/audit-chainer/candidate.ts';
import { recordNumber, TENANT } from './chain-fill.ts';
import { endChildren, startGenerator } from './children.ts';
import type { LoadJob } from './load.ts';
import { cpuOf, memoryOf } from './processes.ts';
import { receiptCost } from './receipt-cost.ts';
import type { Row } from './rows.ts';
import { figure } from './table.ts';

const ROWS = 1_000_000;
const ROWS_QUICK = 30_000;
/** Rows of one transaction: about what the chainer makes of a full batch of messages. */
const BATCH = 2_000;
/** How often a long fill says how far it is. */
const TELL_ROWS = 100_000;
const CALLS_A_SECOND = 2_000;
const SEARCHES = 400;
const PROOFS = 100;
const WAIT_MS_MAX = 900_000;
const RECEIPT_BATCHES = 10;

interface Bench {
  readonly dir: string;
  readonly system: RunningSystem;
  readonly database: pg.Pool;
  readonly operator: string;
  readonly rows: number;
  readonly log: (line: string) => void;
}

/** Name, aim, measured, whether it holds. */
type Line = readonly [name: string, aim: string, measured: string, holds: boolean];

export const evidence: Row = async ({ quick, log: say, table }) => {
  const began = performance.now();
  const log = (line: string) =>
    say(`${Math.round((performance.now() - began) / 1_000)} s  ${line}`);
  const dir = join(CHECKOUT, '.countersign', 'bench', 'evidence');
  await rm(dir, { recursive: true, force: true });
  const system = await startSystem({ dir, ports: 'any', seed: seedDemo, onProgress: log });
  const database = new pg.Pool({ connectionString: system.databaseAdminUrl, max: 2 });
  const [tokenFile = ''] = system.seeded()?.demo.operator_token_files ?? [];
  const operator = readFileSync(tokenFile, 'utf8').trim();
  const rows = quick ? ROWS_QUICK : ROWS;
  const bench: Bench = { dir, system, database, operator, rows, log };
  const lines: Line[] = [];
  try {
    lines.push(await sealDelay(bench, quick ? 5 : 30));
    lines.push(await catchUp(bench, quick ? 5 : 30));
    lines.push(...(await fill(bench)));
    lines.push(await search(bench));
    lines.push(...(await proofs(bench)));
    lines.push(...(await verification(bench)));
  } finally {
    await endChildren();
    await database.end();
    await system.stop();
  }
  const receipt = (await receiptCost(RECEIPT_BATCHES))['made in a group of 8'] ?? 0;
  lines.push(['a receipt, in a group of 8', '', `${figure(receipt)} us`, true]);
  table({
    title: `Evidence, over ${rows.toLocaleString('en-US')} rows`,
    columns: ['', 'aim', 'measured', ''],
    rows: lines.map(([name, aim, measured, holds]) => [name, aim, measured, holds ? '' : 'MISSED']),
    notes: ['The whole system and the load generator share the cores.'],
  });
  return {
    rows,
    lines: lines.map(([name, aim, measured, holds]) => ({ name, aim, measured, holds })),
  };
};

/** Calls of the demo's agent at a fixed rate. */
async function load({ system }: Bench, perSecond: number, seconds: number): Promise<void> {
  const demo = system.seeded()?.demo;
  const read = (file: string | undefined) => readFileSync(file ?? '', 'utf8').trim();
  const requests: LoadJob['requests'] = [
    {
      headers: {
        authorization: `Bearer ${read(demo?.identity_token_file)}`,
        'countersign-capability': read(demo?.capability_file),
      },
      body: JSON.stringify({ tool: 'lookup_order', arguments: { order_id: 'ord_1001' } }),
    },
  ];
  const generator = await startGenerator();
  const mode = { kind: 'open', perSecond } as const;
  const url = `${system.urls.ingress}/v1/decisions`;
  await generator.run({ url, requests, mode, warmSeconds: 1, seconds });
}

/** Waits until a query gives 0. */
async function until0(database: pg.Pool, query: string): Promise<void> {
  const deadline = Date.now() + WAIT_MS_MAX;
  for (;;) {
    const { rows } = await database.query<{ left: number }>(query);
    if (Number(rows[0]?.left ?? 0) === 0) return;
    if (Date.now() > deadline) throw new Error(`still not 0: ${query}`);
    await sleep(50);
  }
}

const UNSEALED = `select count(*)::int as left from heads left join lateral (
    select first_sequence + count - 1 as through from tree_ranges
    where tree_ranges.tenant = heads.tenant and kind = 'entry' order by first_sequence desc limit 1
  ) as sealed on true where heads.sequence > coalesce(sealed.through, 0)`;
const UNWITNESSED = 'select count(*)::int as left from checkpoints where witnessed_at is null';

async function sealDelay(bench: Bench, seconds: number): Promise<Line> {
  bench.log(
    `decisions at ${CALLS_A_SECOND / 4} a second: when are they under a witnessed checkpoint?`,
  );
  const since = Date.now() + 1_000;
  await load(bench, CALLS_A_SECOND / 4, seconds);
  await chained(bench);
  await until0(bench.database, UNSEALED);
  await until0(bench.database, UNWITNESSED);
  const { rows } = await bench.database.query<{ p50: number; p99: number }>(
    `select percentile_disc(0.5) within group (order by delay) as p50,
       percentile_disc(0.99) within group (order by delay) as p99
     from (
       select (select min(witnessed_at) from checkpoints
               where size > ranges.first_leaf + (c.sequence - ranges.first_sequence)) - c.at as delay
       from chain_rows c join tree_ranges ranges on ranges.tenant = c.tenant and ranges.kind = 'entry'
         and c.sequence >= ranges.first_sequence and c.sequence < ranges.first_sequence + ranges.count
       where c.kind = 'decision' and c.at >= $1
     ) as delays`,
    [since],
  );
  const { p50 = 0, p99 = 0 } = rows[0] ?? {};
  const measured = `p50 ${figure(Number(p50) / 1_000)} s, p99 ${figure(Number(p99) / 1_000)} s`;
  return ['decision to witnessed checkpoint', 'p99 <= 2 s', measured, Number(p99) <= 2_000];
}

async function chained({ system }: Bench): Promise<void> {
  const deadline = Date.now() + WAIT_MS_MAX;
  while (Date.now() < deadline) {
    const answer = await fetch(`${system.urls.natsMonitor}/jsz?consumers=true&accounts=true`);
    const text = await answer.text();
    const consumers = [
      ...text.matchAll(
        /"name": "chain-decisions"[\s\S]*?"num_ack_pending": (\d+)[\s\S]*?"num_pending": (\d+)/g,
      ),
    ];
    if (consumers.length > 0 && consumers.every(([, a, b]) => a === '0' && b === '0')) return;
    await sleep(50);
  }
  throw new Error('the chain does not catch up');
}

async function catchUp(bench: Bench, seconds: number): Promise<Line> {
  bench.log(`${CALLS_A_SECOND} decisions a second without the chainer, then with it`);
  const count = async () => {
    const { rows } = await bench.database.query<{ n: number }>(
      'select coalesce(sum(sequence), 0)::int as n from heads',
    );
    return Number(rows[0]?.n ?? 0);
  };
  const before = await count();
  await bench.system.halt('audit-chainer');
  await load(bench, CALLS_A_SECOND, seconds);
  await bench.system.restart('audit-chainer');
  const started = performance.now();
  await chained(bench);
  const rate = ((await count()) - before) / ((performance.now() - started) / 1_000);
  const aim = `>= ${(3 * CALLS_A_SECOND).toLocaleString('en-US')}/s`;
  return ['catch-up after an outage', aim, `${figure(rate)}/s`, rate >= 3 * CALLS_A_SECOND];
}

/** Appends to a tenant of its own as the chainer does, while the chainer seals. */
async function fill({ dir, system, database, rows, log }: Bench): Promise<Line[]> {
  log(`${rows.toLocaleString('en-US')} rows into the chain`);
  const url = readFileSync(
    join(placesIn(dir).secrets, 'database', 'countersign_chainer.url'),
    'utf8',
  );
  const pool = new pg.Pool({ connectionString: url.trim(), max: 1 });
  const atRest = readAtRest(join(placesIn(dir).secrets, 'at-rest-keys.json'));
  const from = Date.now() - rows;
  let appendMs = 0;
  let before: Candidate | undefined;
  const started = performance.now();
  let madeMs = 0;
  let appendCpuMicros = 0;
  const others = () => cpuOf(system.pids());
  const othersBefore = others();
  for (let n = 0; n < rows; n += BATCH) {
    const making = performance.now();
    const batch: Candidate[] = [];
    for (let at = n; at < Math.min(n + BATCH, rows); at += 1) {
      before = recordNumber(at, from + at, before);
      batch.push(before);
    }
    madeMs += performance.now() - making;
    const appending = performance.now();
    const cpu = process.cpuUsage();
    // As the chainer appends what is delivered for the first time.
    await append({ pool, atRest }, batch, { presumedNew: true });
    appendMs += performance.now() - appending;
    const { user, system: kernel } = process.cpuUsage(cpu);
    appendCpuMicros += user + kernel;
    const done = n + batch.length;
    if (done % TELL_ROWS === 0)
      log(`  ${figure(done)} rows, ${figure((done * 1_000) / appendMs)}/s`);
  }
  await until0(database, UNSEALED);
  await until0(database, UNWITNESSED);
  const allMs = performance.now() - started - madeMs;
  const othersAfter = others();
  await pool.end();
  const cpuOfRow = (name: string) =>
    (((othersAfter[name] ?? 0) - (othersBefore[name] ?? 0)) * 1_000) / rows;
  const cpus = [appendCpuMicros / rows, cpuOfRow('postgres'), cpuOfRow('audit-chainer')];
  const appended = rows / (appendMs / 1_000);
  const sealed = rows / (allMs / 1_000);
  return [
    [
      'rows into Postgres, while the tree grows',
      '>= 20,000/s',
      `${figure(appended)}/s`,
      appended >= 20_000,
    ],
    ['the same until all of them are witnessed', '', `${figure(sealed)}/s`, true],
    [
      'CPU of a row: to append it, of Postgres, to seal it',
      '',
      `${cpus.map(figure).join(' + ')} us`,
      true,
    ],
  ];
}

async function get({ system, operator }: Bench, path: string): Promise<string> {
  const answer = await fetch(new URL(`/v1/tenants/${TENANT}/${path}`, system.urls.admin), {
    headers: { authorization: `Bearer ${operator}` },
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text.slice(0, 200)}`);
  return text;
}

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

/** What people ask for, the newest first and from a place in the middle. */
async function search(bench: Bench): Promise<Line> {
  bench.log('searches');
  const span = bench.rows;
  const moment = (share: number) => new Date(Date.now() - span * share).toISOString();
  const questions = (n: number): string[] => [
    '',
    `agent=support-${n % 40}`,
    'verdict=block',
    'reason=policy.needs_approval',
    `tool=refund_order&verdict=block`,
    `agent=support-${n % 40}&tool=run_sql`,
    `since=${moment(0.6)}&until=${moment(0.5)}`,
    `agent=support-${n % 40}&since=${moment(0.9)}&until=${moment(0.3)}`,
    'kind=outcome&reason=executed',
    'agent=support-3&tool=nothing_like_it',
    'kind=control',
  ];
  const times: number[] = [];
  for (let n = 0; times.length < SEARCHES; n += 1) {
    for (const question of questions(n)) {
      const started = performance.now();
      const page = JSON.parse(await get(bench, `audit?limit=50&${question}`)) as { next?: string };
      times.push(performance.now() - started);
      if (page.next === undefined) continue;
      const again = performance.now();
      await get(bench, `audit?limit=50&${question}&cursor=${page.next}`);
      times.push(performance.now() - again);
    }
  }
  times.sort((a, b) => a - b);
  const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
  return [
    'a page of a search',
    'p99 <= 50 ms',
    `p50 ${figure(p50)} ms, p99 ${figure(p99)} ms`,
    p99 <= 50,
  ];
}

async function proofs(bench: Bench): Promise<Line[]> {
  bench.log('proofs');
  const { rows } = await bench.database.query<{ id: string }>(
    `select record_id as id from chain_rows where tenant = $1 and kind = 'decision'
     and sequence % $2::bigint < 3 limit $3`,
    [TENANT, Math.max(1, Math.floor((3 * bench.rows) / PROOFS)), PROOFS],
  );
  const times: number[] = [];
  let bytes = 0;
  for (const { id } of rows) {
    const started = performance.now();
    const proof = await get(bench, `audit/${id}/proof`);
    times.push(performance.now() - started);
    bytes = Math.max(bytes, Buffer.byteLength(proof));
  }
  times.sort((a, b) => a - b);
  const p50 = percentile(times, 0.5);
  return [
    [
      'a proof of one record',
      '<= 5 ms',
      `p50 ${figure(p50)} ms, p99 ${figure(percentile(times, 0.99))} ms`,
      p50 <= 5,
    ],
    ['its size', '<= 4,096 bytes', `${figure(bytes)} bytes`, bytes <= 4_096],
  ];
}

async function verification(bench: Bench): Promise<Line[]> {
  const { dir, rows, log } = bench;
  log('an export of all');
  const out = join(dir, 'export');
  const made = await countersign(bench, ['audit', 'export', '--out', out, '--tenant', TENANT]);
  const policy = placesIn(dir).witnessPolicy;
  log('its verification, offline');
  const checked = await countersign(bench, [
    'audit',
    'verify',
    '--export',
    out,
    '--policy',
    policy,
  ]);
  const perMillion = (checked.seconds * 1_000_000) / rows;
  return [
    ['an export of all', '', `${figure(made.seconds)} s`, true],
    ['verification of 1,000,000 records', '<= 60 s', `${figure(perMillion)} s`, perMillion <= 60],
    ['memory of the verifier', '<= 400 MiB', `${figure(checked.peakMb)} MB`, checked.peakMb <= 419],
  ];
}

const LOOK_MS = 100;

async function countersign(
  { dir, system, operator }: Bench,
  args: readonly string[],
): Promise<{ readonly seconds: number; readonly peakMb: number }> {
  const [tokenFile = ''] = system.seeded()?.demo.operator_token_files ?? [];
  if (operator === '') throw new Error('no operator');
  const env = {
    PATH: process.env['PATH'],
    COUNTERSIGN_DIR: dir,
    COUNTERSIGN_OPERATOR_TOKEN_FILE: tokenFile,
  };
  const started = performance.now();
  const child = spawn(process.execPath, [join(CHECKOUT, 'cli', 'main.ts'), ...args], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let peakMb = 0;
  const timer = setInterval(() => {
    peakMb = Math.max(peakMb, memoryOf({ child: child.pid ?? 0 })['child']?.peak ?? 0);
  }, LOOK_MS);
  const [code] = (await once(child, 'exit')) as [number | null];
  clearInterval(timer);
  if (code !== 0) throw new Error(`countersign ${args.join(' ')} ended with ${code}`);
  return { seconds: (performance.now() - started) / 1_000, peakMb };
}

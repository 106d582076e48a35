// The surroundings of the audit chainer: broker with the shipped permissions, Postgres with our roles, writers whose
// records it takes, and direct looks at what it made of them.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { DATABASE, prepareDatabase } from '#cli/local/database.ts';
import { CHECKOUT } from '#cli/local/places.ts';
import { anyFreePort } from '#cli/local/ports.ts';
import type { DatabaseRole } from '#cli/local/secrets.ts';
import { type ChainFinding, type ChainHead, showHash, verifyChain } from '#contracts/chain.ts';
import { macHeader } from '#contracts/mac.ts';
import { NOTE_ED25519, showSignerKey, type VerifierKey, verifierKeyOf } from '#contracts/note.ts';
import { encodeRecords, type RecordLines } from '#contracts/record.ts';
import { HEADERS } from '#contracts/subjects.ts';
import { type AtRest, atRest as atRestBy, payloadPlace } from '#host/at-rest.ts';
import { readConfig } from '#host/config.ts';
import { type Bus, connectBus, newHeaders } from '#host/nats.ts';
import type { Running } from '#host/run.ts';

import type { Chaining } from '../../services/audit-chainer/chaining.ts';
import { ChainerConfig } from '../../services/audit-chainer/config.ts';
import { start } from '../../services/audit-chainer/main.ts';
import { sealedThrough } from '../../services/audit-chainer/sealed-through.ts';
import { migrateDatabase } from '../../services/migrate/database.ts';
import { migrateStreams } from '../../services/migrate/streams.ts';
import { startNats, startPostgres, type TestNats, type TestPostgres } from './servers.ts';

export type Writer = 'decision-worker' | 'ingress' | 'admin' | 'approval-escalation';
const WRITERS: readonly Writer[] = ['decision-worker', 'ingress', 'admin', 'approval-escalation'];

const CONSUMERS_HERE = [
  ['DECISIONS', 'chain-decisions'],
  ['OUTCOMES', 'chain-outcomes'],
  ['APPROVALS', 'chain-approvals'],
  ['CONTROL', 'chain-control'],
] as const;
const ACK_WAIT_MS = 2_000;

/** One row of a chain with its payload, as it lies in the database. */
export interface StoredRow {
  readonly sequence: number;
  readonly kind: string;
  readonly record_id: string;
  readonly decision_id: string;
  readonly verdict: string;
  readonly source_stream: string;
  readonly entry: string;
  readonly hash: string;
  readonly payload: string;
}

export interface ChainerProcess {
  /** What /readyz says; status 0 while nobody listens. */
  readonly readiness: () => Promise<Readiness>;
  /** Its exit code, null when the signal ended it. */
  readonly end: (signal: 'SIGTERM' | 'SIGKILL') => Promise<number | null>;
}

export interface Readiness {
  readonly status: number;
  readonly ready?: boolean;
  readonly reasons?: readonly string[];
}

export interface Evidence {
  readonly nats: TestNats;
  readonly postgres: TestPostgres;
  /** A connection that may do anything at the broker. */
  readonly bus: Bus;
  /** Key of the log that the chainers here sign for. */
  readonly logKey: VerifierKey;
  /** Everything in the database, as superuser. */
  readonly pool: pg.Pool;
  /** What seals and opens payloads; its keys stand in the file that `config` names. */
  readonly atRest: AtRest;
  /** Waits until all that is chained is under a checkpoint and the streams' floors with it, at most 30 s. */
  readonly sealed: () => Promise<void>;
  /** What every chainer here is started with. */
  readonly config: ChainerConfig;
  readonly databaseUrl: (role: DatabaseRole | 'postgres') => string;
  /** Stores one message of records, with the MAC of a writer; `mac: ''` leaves it out. Gives its sequence. */
  readonly store: (
    writer: Writer,
    subject: string,
    records: readonly RecordLines[] | string,
    options?: { readonly mac?: string },
  ) => Promise<number>;
  readonly startChainer: (hooks?: Pick<Chaining, 'afterCommit'>) => Promise<Running>;
  /** The chainer as a process of its own, listening for health. */
  readonly spawnChainer: () => Promise<ChainerProcess>;
  readonly rows: (tenant: string) => Promise<StoredRow[]>;
  /** What is wrong with a tenant's chain as it lies there, undefined when it is intact. */
  readonly verify: (tenant: string) => Promise<ChainFinding | undefined>;
  readonly query: <T>(sql: string, values?: readonly unknown[]) => Promise<T[]>;
  /** Waits until the consumers have nothing left, at most 30 s. */
  readonly drained: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export async function startEvidence(
  options: { readonly spoolKeepSeconds?: number } = {},
): Promise<Evidence> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-evidence-'));
  const [nats, postgres] = await Promise.all([
    startNats({ shipped: true }),
    startPostgres({ own: true }),
  ]);
  const password = randomBytes(12).toString('hex');
  await prepareDatabase(postgres.adminUrl, () => password);
  const databaseUrl = (role: DatabaseRole | 'postgres') => {
    const url = new URL(postgres.adminUrl);
    url.pathname = DATABASE;
    if (role !== 'postgres') [url.username, url.password] = [role, password];
    return url.href;
  };
  await migrateDatabase(databaseUrl('countersign_migrator'));
  const bus = await connectBus({
    url: nats.url,
    user: 'operator',
    passwordFile: nats.passwordFile('operator'),
    monitorUrl: nats.monitorUrl,
  });
  await migrateStreams(bus, { replicas: 1, shrink: 64 });
  for (const [stream, name] of CONSUMERS_HERE) {
    // What a killed process held is delivered again soon, and slow work is delivered twice.
    await bus.jsm.consumers.update(stream, name, { ack_wait: ACK_WAIT_MS * 1_000_000 });
  }

  const keys = new Map(WRITERS.map((writer) => [writer, randomBytes(32)]));
  const file = async (name: string, content: string): Promise<string> => {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  };
  const atRestKey = randomBytes(32).toString('base64');
  const atRest = atRestBy([Buffer.from(atRestKey, 'base64')]);
  const logKey = { name: 'log.example/test', type: NOTE_ED25519, seed: randomBytes(32) };
  const environment = {
    COUNTERSIGN_NATS_URL: nats.url,
    COUNTERSIGN_NATS_PASSWORD_FILE: nats.passwordFile('audit-chainer'),
    COUNTERSIGN_NATS_MONITOR_URL: nats.monitorUrl,
    COUNTERSIGN_LOG_LEVEL: 'fatal',
    COUNTERSIGN_MAC_KEYS_FILE: await file(
      'mac.json',
      JSON.stringify(
        Object.fromEntries([...keys].map(([name, key]) => [name, key.toString('base64')])),
      ),
    ),
    COUNTERSIGN_DATABASE_URL_FILE: await file('database.url', databaseUrl('countersign_chainer')),
    COUNTERSIGN_AT_REST_KEYS_FILE: await file('at-rest.json', JSON.stringify([atRestKey])),
    COUNTERSIGN_LOG_KEY_FILE: await file('log.key', showSignerKey(logKey)),
    COUNTERSIGN_WITNESS_POLICY_FILE: await file('witness-policy', 'quorum none\n'),
    COUNTERSIGN_SPOOL_KEEP_SECONDS: String(options.spoolKeepSeconds ?? 300),
  };
  const config = readConfig(ChainerConfig, environment);
  const children: { readonly child: ChildProcess; readonly ended: Promise<unknown> }[] = [];
  // As superuser: it sees every tenant.
  const pool = new pg.Pool({ connectionString: databaseUrl('postgres'), max: 2 });
  pool.on('error', () => {});
  const query = async <T>(sql: string, values: readonly unknown[] = []): Promise<T[]> =>
    (await pool.query(sql, [...values])).rows as T[];

  const rows = async (tenant: string): Promise<StoredRow[]> => {
    const found = await query<StoredRow & { hash: Uint8Array; body: Buffer | null }>(
      `select c.*, p.body from chain_rows c left join payloads p using (tenant, sequence)
       where tenant = $1 order by sequence`,
      [tenant],
    );
    return found.map(({ body, ...row }) => ({
      ...row,
      sequence: Number(row.sequence),
      hash: showHash(row.hash),
      payload: (body && atRest.open(body, payloadPlace(tenant, Number(row.sequence)))) as string,
    }));
  };
  return {
    nats,
    postgres,
    bus,
    pool,
    atRest,
    logKey: verifierKeyOf(logKey),
    sealed: async () => {
      const deadline = Date.now() + 30_000;
      while (!(await isSealed(bus, pool))) {
        if (Date.now() > deadline) throw new Error('not sealed');
        await sleep(50);
      }
    },
    config,
    databaseUrl,
    store: async (writer, subject, records, { mac } = {}) => {
      const body = typeof records === 'string' ? records : encodeRecords(records);
      const headers = newHeaders();
      const key = keys.get(writer)!;
      headers.set(HEADERS.mac, mac ?? macHeader(writer, key, { subject, body }));
      const ack = await bus.js.publish(subject, body, { headers });
      return ack.seq;
    },
    startChainer: (hooks) => start(config, hooks),
    spawnChainer: async () => {
      const port = await anyFreePort();
      const child = spawn(process.execPath, [join(CHECKOUT, 'services/audit-chainer/main.ts')], {
        env: { PATH: process.env['PATH'], ...environment, COUNTERSIGN_HEALTH_PORT: String(port) },
        stdio: 'ignore',
      });
      const ended = once(child, 'exit').then(([code]) => code as number | null);
      children.push({ child, ended });
      const readiness = () => readinessAt(port);
      const deadline = Date.now() + 30_000;
      while ((await readiness()).status === 0) {
        if (Date.now() > deadline) throw new Error('the chainer does not listen');
        await sleep(25);
      }
      return {
        readiness,
        end: (signal) => {
          child.kill(signal);
          return ended;
        },
      };
    },
    rows,
    verify: async (tenant) => {
      const [head] = await query<{ sequence: string; hash: Uint8Array }>(
        'select sequence, hash from heads where tenant = $1',
        [tenant],
      );
      const known: ChainHead | undefined =
        head === undefined
          ? undefined
          : { sequence: Number(head.sequence), hash: showHash(head.hash) };
      return verifyChain(tenant, await rows(tenant), known);
    },
    query,
    drained: async () => {
      const deadline = Date.now() + 30_000;
      for (const [stream, name] of CONSUMERS_HERE) {
        for (;;) {
          const { num_pending, num_ack_pending } = await bus.jsm.consumers.info(stream, name);
          if (num_pending + num_ack_pending === 0) break;
          if (Date.now() > deadline) throw new Error(`${name} is not drained`);
          await sleep(50);
        }
      }
    },
    stop: async () => {
      for (const { child, ended } of children) {
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
        await ended;
      }
      await pool.end();
      await bus.close();
      await Promise.all([nats.stop(), postgres.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function readinessAt(port: number): Promise<Readiness> {
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
  if (answer === undefined) return { status: 0 };
  return { status: answer.status, ...((await answer.json()) as object) };
}

/** Every row of every chain is in the tree, and every stream's floor under a witnessed checkpoint. */
async function isSealed(bus: Bus, pool: pg.Pool): Promise<boolean> {
  const { rows } = await pool.query<{ open: number }>(
    `select (select count(*) from chain_rows) -
       (select coalesce(sum(count), 0) from tree_ranges where kind = 'entry') as open`,
  );
  if (Number(rows[0]?.open) !== 0) return false;
  const floors = CONSUMERS_HERE.map(async ([stream, name]) => {
    const { ack_floor: floor } = await bus.jsm.consumers.info(stream, name);
    const epoch = await bus.epoch(stream);
    return (await sealedThrough(pool, stream, epoch)) >= floor.stream_seq;
  });
  return (await Promise.all(floors)).every((done) => done);
}

/** Wires the audit chainer: four streams in, the chains of all tenants out, and the spool trimmed behind them. */
import type pg from 'pg';

import type { MacKeys } from '#contracts/mac.ts';
import type { SignerKey } from '#contracts/note.ts';
import { quorumMet, type WitnessPolicy } from '#contracts/witness-policy.ts';
import { type AtRest, readAtRest } from '#host/at-rest.ts';
import { readConfig } from '#host/config.ts';
import { type DatabaseWatch, watchDatabase } from '#host/database-watch.ts';
import { openPool } from '#host/database.ts';
import { serveHealth } from '#host/health.ts';
import { readMacKeys } from '#host/keys.ts';
import { createLog, type Logger } from '#host/log.ts';
import { counter, gauge, gauges } from '#host/metrics.ts';
import { type Bus, connectBus } from '#host/nats.ts';
import { closers, run, type Running } from '#host/run.ts';

import type { Origin } from './admit.ts';
import { append, type Appended } from './append.ts';
import { alert } from './candidate.ts';
import { type Chaining, chainStream } from './chaining.ts';
import { ChainerConfig } from './config.ts';
import { startErasing } from './erasing.ts';
import { startFeed } from './feed.ts';
import { watchLag } from './lag.ts';
import { introduceLogKey, readLogKey } from './log-key.ts';
import { CHAINED, sealedThrough } from './sealed-through.ts';
import { type Sealing, startSealing } from './sealing.ts';
import { watchSpool } from './spool-alarm.ts';
import { handledThrough } from './spooled.ts';
import { startSweeping } from './sweeping.ts';
import { startTrimmer } from './trim.ts';
import { readWitnessPolicy, UNWITNESSED, witnessesBehind } from './witness-policy.ts';
import { markWitnessed } from './witnessed.ts';
import { startWitnesses, type Witnesses } from './witnesses.ts';

/** Number of the newest migration that this process needs. */
const SCHEMA = 23;

const records = counter<{ stream: string; became: string }>(
  'countersign_chain_records',
  'Records taken from the streams, by what became of them: row, repeated or alert.',
);

/** What every part of the process works with. */
interface Parts {
  readonly config: ChainerConfig;
  readonly log: Logger;
  readonly macKeys: MacKeys;
  readonly signer: SignerKey;
  readonly policy: WitnessPolicy;
  readonly bus: Bus;
  readonly pool: pg.Pool;
  readonly atRest: AtRest;
  readonly database: DatabaseWatch;
  /** Has it closed at the end, the last one first. */
  readonly add: (name: string, close: () => unknown) => void;
}

/** @param hooks for crash tests */
export async function start(
  config: ChainerConfig,
  hooks: Pick<Chaining, 'afterCommit'> = {},
): Promise<Running> {
  const log = createLog('audit-chainer', config.COUNTERSIGN_LOG_LEVEL);
  const macKeys = readMacKeys(config.COUNTERSIGN_MAC_KEYS_FILE);
  const signer = readLogKey(config.COUNTERSIGN_LOG_KEY_FILE);
  const atRest = readAtRest(config.COUNTERSIGN_AT_REST_KEYS_FILE);
  const policy = readWitnessPolicy(config.COUNTERSIGN_WITNESS_POLICY_FILE, signer);
  const { add, closeAll } = closers(log);
  const bus = await connectBus({
    url: config.COUNTERSIGN_NATS_URL,
    user: 'audit-chainer',
    passwordFile: config.COUNTERSIGN_NATS_PASSWORD_FILE,
    monitorUrl: config.COUNTERSIGN_NATS_MONITOR_URL,
  });
  add('bus', bus.close);
  const pool = openPool(config.COUNTERSIGN_DATABASE_URL_FILE, log, CHAINED.length + 6);
  add('pool', () => pool.end());
  const database = watchDatabase(pool, SCHEMA, log);
  const parts: Parts = { config, log, macKeys, signer, policy, bus, pool, atRest, database, add };

  for (const name of CHAINED) {
    const onAppended: Chaining['onAppended'] = (origin, appended) => count(origin, appended, log);
    add(name, chainStream(name, { ...hooks, ...parts, onAppended }).stop);
  }
  const tree = startTree(parts);
  add('sweeper', startSweeping(parts).stop);
  add('eraser', startErasing(parts).stop);
  // Closed before the consumers: what waits for the database lets go at once.
  add('database watch', database.close);
  startTrimming(parts);
  await serveState(parts, tree);
  log.info('chaining');
  return { stop: closeAll };
}

/** True when a checkpoint counts without a witness. */
const isAlone = ({ quorum }: WitnessPolicy): boolean => quorumMet(quorum, () => false);

/** Seals, and has the checkpoints cosigned. */
function startTree(parts: Parts): { readonly witnesses: Witnesses; readonly sealing: Sealing } {
  const { pool, policy, signer, log, add } = parts;
  const alone = isAlone(policy);
  if (alone) log.warn(UNWITNESSED);
  const feed = startFeed(parts);
  add('feed', feed.close);
  const witnesses = startWitnesses({ pool, policy, log, onWitnessed: feed.wake });
  add('witnesses', witnesses.close);
  const sealing = startSealing({
    ...parts,
    beforeFirst: async () => {
      await introduceLogKey(parts, signer);
      // What was sealed just before a crash.
      if (alone) await markWitnessed(pool, Number.MAX_SAFE_INTEGER);
    },
    onSealed: async ({ size }) => {
      if (alone) await markWitnessed(pool, size);
      (alone ? feed : witnesses).wake();
    },
  });
  add('sealing', sealing.stop);
  return { witnesses, sealing };
}

function startTrimming({ config, bus, pool, log, add }: Parts): void {
  const trimmer = startTrimmer(bus, {
    sealedThrough: async (stream) => {
      const epoch = await bus.epoch(stream);
      // What was never handled stays until it is missed by number.
      const [sealed, handled] = await Promise.all([
        sealedThrough(pool, stream, epoch),
        handledThrough(pool, stream, epoch),
      ]);
      return Math.min(sealed, handled);
    },
    keepMs: config.COUNTERSIGN_SPOOL_KEEP_SECONDS * 1_000,
    log,
  });
  add('trimmer', trimmer.close);
}

/** /readyz and metrics: how far behind, how full, how alone. */
async function serveState(
  parts: Parts,
  { witnesses, sealing }: ReturnType<typeof startTree>,
): Promise<void> {
  const { config, bus, database, policy, log, add } = parts;
  const lag = watchLag(bus, log);
  add('lag', lag.close);
  const spool = watchSpool(bus, log, (stream, reason) => void chainAlarm(parts, stream, reason));
  add('spool alarm', spool.close);
  gauges('countersign_chain_lag_messages', 'Stored messages that are not chained yet.', () =>
    [...lag.messages()].map(([stream, messages]) => [messages, { stream }] as const),
  );
  gauges('countersign_spool_used_ratio', 'Bytes used of those that a stream may have.', () =>
    [...spool.used()].map(([stream, ratio]) => [ratio, { stream }] as const),
  );
  gauge(
    'countersign_chain_unwitnessed_seconds',
    'Age of the oldest checkpoint that not enough witnesses have cosigned; 0 = all are witnessed.',
    () => witnesses.behindMs() / 1_000,
  );
  const health = await serveHealth(
    config.COUNTERSIGN_HEALTH_PORT,
    {
      bus: () => (bus.connected() ? '' : 'the bus is away'),
      database: database.fault,
      'database clock': database.clockFault,
      spool: spool.fault,
      tree: sealing.fault,
      witnesses: () => witnessesBehind(witnesses),
    },
    () => ({
      lag: Object.fromEntries(lag.messages()),
      witnesses: isAlone(policy) ? UNWITNESSED : witnesses.states(),
      unwitnessed_seconds: Math.floor(witnesses.behindMs() / 1_000),
    }),
  );
  add('health', health.close);
}

/** While the database is away, which is when a spool fills up, the log and /readyz have to do. */
async function chainAlarm(parts: Parts, stream: string, reason: string): Promise<void> {
  const at = Date.now();
  const about = { action: 'report_full_spool', at, target: stream, reason };
  try {
    await append(parts, [alert({ ...about, id: `full-spool/${stream}/${at}` })]);
  } catch (error) {
    parts.log.warn({ err: error }, 'the alarm is not in the chain');
  }
}

function count({ stream }: Origin, { rows, repeated, alerts }: Appended, log: Logger): void {
  records.add(rows - alerts, { stream, became: 'row' });
  records.add(repeated, { stream, became: 'repeated' });
  records.add(alerts, { stream, became: 'alert' });
  if (alerts > 0) log.error({ stream, alerts }, 'records refused; see the chain of the platform');
}

if (import.meta.main) await run(() => start(readConfig(ChainerConfig, process.env)));

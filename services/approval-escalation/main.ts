/** Wires approval-escalation: held calls in, people's decisions in between, events and entries out. */
import { APPROVAL_WRITER } from '#contracts/approval.ts';
import { readAtRest } from '#host/at-rest.ts';
import { ConfigError, readConfig } from '#host/config.ts';
import { consume } from '#host/consume.ts';
import { watchControl } from '#host/control-view.ts';
import { watchDatabase } from '#host/database-watch.ts';
import { openPool } from '#host/database.ts';
import { serveHealth } from '#host/health.ts';
import { readMacKeys } from '#host/keys.ts';
import { createLog } from '#host/log.ts';
import { gauge } from '#host/metrics.ts';
import { connectBus } from '#host/nats.ts';
import { operatorsOf } from '#host/operators.ts';
import { recordPublisher } from '#host/publish.ts';
import { closers, run, type Running } from '#host/run.ts';

import { EscalationConfig } from './config.ts';
import { holdTaker } from './holds.ts';
import { serveHeld } from './serve.ts';
import type { StepParts } from './steps.ts';
import { startSweeper } from './sweep.ts';
import { createTell } from './tell.ts';

/** Number of the newest migration that this process needs. */
const SCHEMA = 21;
const CONNECTIONS_MAX = 12;
const BATCH_MAX = 128;
const STALE_MS = 5_000;

/** @param hooks for crash tests */
export async function start(
  config: EscalationConfig,
  hooks: Pick<StepParts, 'afterCommit'> = {},
): Promise<Running> {
  const log = createLog(APPROVAL_WRITER, config.COUNTERSIGN_LOG_LEVEL);
  const keys = readMacKeys(config.COUNTERSIGN_MAC_KEYS_FILE);
  const key = keys.get(APPROVAL_WRITER)?.[0];
  if (key === undefined) throw new ConfigError([`MAC keys: none of ${APPROVAL_WRITER}`]);
  const atRest = readAtRest(config.COUNTERSIGN_AT_REST_KEYS_FILE);
  const { add, closeAll } = closers(log);
  const bus = await connectBus({
    url: config.COUNTERSIGN_NATS_URL,
    user: APPROVAL_WRITER,
    passwordFile: config.COUNTERSIGN_NATS_PASSWORD_FILE,
    monitorUrl: config.COUNTERSIGN_NATS_MONITOR_URL,
  });
  add('bus', bus.close);
  const view = await watchControl(bus, { log, beatAs: `approvals-${process.pid}` });
  add('control view', view.close);
  const pool = openPool(config.COUNTERSIGN_DATABASE_URL_FILE, log, CONNECTIONS_MAX);
  add('pool', () => pool.end());
  const database = watchDatabase(pool, SCHEMA, log);
  const entries = await bus.bucket('approvals');
  const tell = createTell({
    pool,
    atRest,
    publish: recordPublisher(bus, keys),
    entries,
    key,
    keys,
  });
  const parts = {
    ...hooks,
    pool,
    atRest,
    tell,
    log,
    now: Date.now,
    keys,
    key,
    view,
    operators: operatorsOf(view),
  };

  const sweeper = startSweeper({ ...parts, view, database });
  add('sweeper', sweeper.close);
  const taker = holdTaker({ ...parts, key, view, database, reconsider: sweeper.reconsider });
  const taking = consume(bus, 'take-holds', { batchMax: BATCH_MAX, log }, taker);
  add('holds', taking.stop);
  add('database watch', database.close);
  const serving = serveHeld(bus, parts);
  add('requests', serving.drain);
  gauge('countersign_holds_lag_messages', 'Held decisions that are not taken yet.', taking.lag);

  const health = await serveHealth(
    config.COUNTERSIGN_HEALTH_PORT,
    {
      bus: () => (bus.connected() ? '' : 'the bus is away'),
      control: () => (view.ageMs() <= STALE_MS ? '' : 'the control feed is silent'),
      clock: view.clockFault,
      database: database.fault,
      'database clock': database.clockFault,
    },
    () => ({ lag: taking.lag(), revision: view.revision() }),
  );
  add('health', health.close);
  log.info('holding calls');
  return { stop: closeAll };
}

if (import.meta.main) await run(() => start(readConfig(EscalationConfig, process.env)));

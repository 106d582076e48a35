/** Wires the notifier: events of held calls in, messages to people out, and their answers back. */
import { APPROVAL_WRITER } from '#contracts/approval.ts';
import { readAtRest } from '#host/at-rest.ts';
import { ConfigError, readConfig } from '#host/config.ts';
import { consume } from '#host/consume.ts';
import { watchDatabase } from '#host/database-watch.ts';
import { openPool } from '#host/database.ts';
import { serveHealth } from '#host/health.ts';
import { readMacKeys } from '#host/keys.ts';
import { createLog } from '#host/log.ts';
import { gauge } from '#host/metrics.ts';
import { connectBus } from '#host/nats.ts';
import { listenForPosts } from '#host/posted.ts';
import { recordPublisher } from '#host/publish.ts';
import { closers, run, type Running } from '#host/run.ts';
import { signedRequester } from '#host/signed-request.ts';

import { alertRaiser } from './alerts.ts';
import { answerCallback } from './callback.ts';
import { channelStates } from './channel-states.ts';
import { readChannels } from './channels.ts';
import { NotifierConfig } from './config.ts';
import { type DeliverParts, startDelivery } from './deliver.ts';
import { intake } from './intake.ts';
import { poster, type Resolve } from './outgoing.ts';
import { serveNotify } from './serve.ts';
import { startWatch } from './watch.ts';

const WRITER = 'notifier';
/** Number of the newest migration that this process needs. */
const SCHEMA = 21;
const CONNECTIONS_MAX = 8;
const BATCH_MAX = 128;
/** Of callbacks, which the whole internet may send. */
const LIMITS = { bodyBytes: 256 * 1024, requestMs: 5_000, idleMs: 30_000 };

export interface RunningNotifier extends Running {
  /** Where callbacks arrive. */
  readonly port: number;
}

/** @param hooks for tests: a crash after a message was posted, names that resolve to other addresses */
export async function start(
  config: NotifierConfig,
  hooks: Pick<DeliverParts, 'afterPost'> & { readonly resolve?: Resolve } = {},
): Promise<RunningNotifier> {
  const { resolve, ...crash } = hooks;
  const log = createLog(WRITER, config.COUNTERSIGN_LOG_LEVEL);
  const keys = readMacKeys(config.COUNTERSIGN_MAC_KEYS_FILE);
  const key = keys.get(WRITER)?.[0];
  const missing = [WRITER, APPROVAL_WRITER, 'admin'].filter((writer) => !keys.has(writer));
  if (key === undefined || missing.length > 0)
    throw new ConfigError([`MAC keys: none of ${missing.join(', ')}`]);
  const channels = readChannels(
    config.COUNTERSIGN_CHANNELS_FILE,
    config.COUNTERSIGN_CHANNEL_SECRETS_DIR,
  );
  const atRest = readAtRest(config.COUNTERSIGN_AT_REST_KEYS_FILE);
  const { add, closeAll } = closers(log);
  const bus = await connectBus({
    url: config.COUNTERSIGN_NATS_URL,
    user: WRITER,
    passwordFile: config.COUNTERSIGN_NATS_PASSWORD_FILE,
    monitorUrl: config.COUNTERSIGN_NATS_MONITOR_URL,
  });
  add('bus', bus.close);
  const pool = openPool(config.COUNTERSIGN_DATABASE_URL_FILE, log, CONNECTIONS_MAX);
  add('pool', () => pool.end());
  const database = watchDatabase(pool, SCHEMA, log);
  const allowed = config.COUNTERSIGN_NOTIFIER_TARGETS_ALLOWED.split(',').map((one) => one.trim());
  const post = poster(new Set(allowed.filter((one) => one !== '')), resolve);
  const states = channelStates(pool, Date.now);
  const request = signedRequester(bus, keys);
  const parts = {
    pool,
    atRest,
    database,
    channels,
    post,
    states,
    request,
    key,
    keys,
    log,
    now: Date.now,
  };

  const delivering = startDelivery({ ...parts, ...crash });
  add('delivery', delivering.close);
  const options = { batchMax: BATCH_MAX, log };
  const taking = consume(bus, 'notify-approvals', options, intake(parts, delivering.wake));
  add('events', taking.stop);
  const alert = alertRaiser(recordPublisher(bus, keys), Date.now);
  const serving = serveNotify(bus, { ...parts, wake: delivering.wake });
  add('requests', serving.drain);
  add('watch', startWatch({ ...parts, alert }).close);
  add('database watch', database.close);
  const callbacks = answerCallback(parts);
  const { COUNTERSIGN_NOTIFIER_HOST: host, COUNTERSIGN_NOTIFIER_PORT: port } = config;
  const listening = await listenForPosts({ host, port, ...LIMITS }, callbacks);
  add('http', listening.close);
  gauge('countersign_channels_down', 'Channels that cannot be reached.', states.down);
  gauge('countersign_notices_lag_messages', 'Events that are not taken yet.', taking.lag);

  const health = await serveHealth(
    config.COUNTERSIGN_HEALTH_PORT,
    {
      bus: () => (bus.connected() ? '' : 'the bus is away'),
      database: database.fault,
      'database clock': database.clockFault,
    },
    () => ({ lag: taking.lag() }),
  );
  add('health', health.close);
  log.info({ port: listening.port }, 'telling people');
  return { stop: closeAll, port: listening.port };
}

if (import.meta.main) await run(() => start(readConfig(NotifierConfig, process.env)));

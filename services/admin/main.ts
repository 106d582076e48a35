/** Wires admin (PAP): control view and projector below, the operators' API above. Every change is an event first. */
import type pg from 'pg';

import { CAPABILITY_KEYS_MAX } from '#contracts/capability.ts';
import { revisionOf } from '#contracts/ids.ts';
import { readAtRest } from '#host/at-rest.ts';
import { readConfig } from '#host/config.ts';
import { type ControlView, watchControl } from '#host/control-view.ts';
import { watchDatabase } from '#host/database-watch.ts';
import { openDatabase, openPool } from '#host/database.ts';
import { type Condition, serveHealth } from '#host/health.ts';
import { readKey, readKeyList, readMacKeys } from '#host/keys.ts';
import { createLog, type Logger } from '#host/log.ts';
import { type Bus, connectBus } from '#host/nats.ts';
import { operatorsOf } from '#host/operators.ts';
import { recordPublisher } from '#host/publish.ts';
import { closers, run, type Running } from '#host/run.ts';
import { signedRequester } from '#host/signed-request.ts';

import { createApp } from './app.ts';
import { approvalRoutes, heldAsker } from './approvals.ts';
import { auditReads, type AuditTables } from './audit-reads.ts';
import { auditRoutes } from './audit.ts';
import { changeRecorder } from './change.ts';
import { AdminConfig } from './config.ts';
import type { Deps } from './deps.ts';
import { driller } from './drill.ts';
import { exportReads } from './export-reads.ts';
import { exportRoutes } from './exports.ts';
import { notifyAsker, notifyRoutes } from './notify.ts';
import { authenticator } from './operators.ts';
import { placeOfPages } from './page/requests.ts';
import { pageRoutes } from './page/routes.ts';
import { payloadRoutes } from './payload-orders.ts';
import { payloadReads } from './payload-reads.ts';
import { bootstrapOperators, readOperators } from './persons.ts';
import { policyBuilder } from './policies.ts';
import { type Projector, startProjector } from './project.ts';
import { proofReads } from './proof-reads.ts';
import { proofRoutes } from './proofs.ts';
import { receiptKeyRoutes } from './receipt-keys.ts';
import { redactionRoutes } from './redaction.ts';
import { seenReader } from './rollout-reads.ts';
import { rolloutRoutes } from './rollout.ts';
import { adminRoutes, type Routes } from './routes.ts';
import { type Desk, openDesk } from './sign-in/desk.ts';
import { webhookRoutes } from './webhooks.ts';

/** Number of the newest migration that reads of the audit trail need. */
const SCHEMA = 23;
const DATABASE_CONNECTIONS_MAX = 8;

const STALE_MS = 5_000;
const LAG_MAX = 100;
const CAUGHT_UP_MS_MAX = 5_000;
const CAUGHT_UP_LOOK_MS = 200;

export async function start(config: AdminConfig): Promise<Running & { readonly port: number }> {
  const log = createLog('admin', config.COUNTERSIGN_LOG_LEVEL);
  const secrets = await readSecrets(config);
  const { add, closeAll } = closers(log);
  try {
    const bus = await connectBus({
      url: config.COUNTERSIGN_NATS_URL,
      user: 'admin',
      passwordFile: config.COUNTERSIGN_NATS_PASSWORD_FILE,
      monitorUrl: config.COUNTERSIGN_NATS_MONITOR_URL,
    });
    add('bus', bus.close);
    const view = await watchControl(bus, { log, beatAs: 'admin' });
    add('control view', view.close);
    const projector = await startProjector(bus, { log, macKeys: secrets.macKeys });
    add('projector', projector.stop);

    const publish = recordPublisher(bus, secrets.macKeys);
    const record = changeRecorder(bus, { publish, view });
    const audit = openAudit(config, log);
    if (audit !== undefined) add('audit', audit.close);
    const operators = operatorsOf(view);
    const desk = deskOf(audit?.pool, secrets.signInKey, { operators, record });
    const deps: Deps = {
      log,
      view,
      record,
      drill: driller(bus, record),
      operators,
      desk,
      capabilityKeys: secrets.capabilityKeys,
      bundles: await bus.objects('bundles'),
      build: policyBuilder(config.COUNTERSIGN_OPA),
    };
    await caughtUp(bus, view, projector);
    await bootstrapOperators(secrets.firstOperators, deps);

    const app = createApp({ log, busConnected: bus.connected });
    const authenticate = authenticator(deps.operators);
    const held = heldAsker(signedRequester(bus, secrets.macKeys));
    const all: readonly Routes[] = [
      adminRoutes,
      auditRoutes(audit?.reads),
      proofRoutes(audit?.proofs),
      exportRoutes(audit?.exports),
      payloadRoutes(audit?.payloads),
      notifyRoutes(notifyAsker(signedRequester(bus, secrets.macKeys)), held),
      redactionRoutes(audit?.reads),
      approvalRoutes(held, desk),
      rolloutRoutes(audit?.seen),
    ];
    for (const routes of all) routes(app, { deps, authenticate });
    webhookRoutes(app, {
      ...deps,
      folder: config.COUNTERSIGN_FACT_SOURCES_DIR,
      done: await bus.bucket('deliveries'),
    });
    if (desk !== undefined) {
      const { place } = secrets;
      pageRoutes(app, {
        desk,
        ask: held,
        place,
        log,
        view,
        operators,
        busConnected: bus.connected,
      });
    }
    receiptKeyRoutes(app, { view, macKeys: secrets.macKeys });
    await app.listen({ host: config.COUNTERSIGN_ADMIN_HOST, port: config.COUNTERSIGN_ADMIN_PORT });
    add('api', () => app.close());
    const health = await serveHealth(
      config.COUNTERSIGN_HEALTH_PORT,
      conditions(bus, view, projector),
      () => ({
        revision: view.revision(),
        lag: projector.lag(),
        audit: audit === undefined ? 'no database is configured' : audit.fault() || 'ok',
      }),
    );
    add('health', health.close);
    const address = app.server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    log.info({ port }, 'serving operators');
    return { stop: closeAll, port };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** @throws ConfigError */
async function readSecrets(config: AdminConfig) {
  const { COUNTERSIGN_BOOTSTRAP_OPERATORS_FILE: operatorsFile } = config;
  return {
    macKeys: readMacKeys(config.COUNTERSIGN_MAC_KEYS_FILE),
    capabilityKeys: readKeyList(
      config.COUNTERSIGN_CAPABILITY_KEYS_FILE,
      'capability keys',
      CAPABILITY_KEYS_MAX,
    ),
    firstOperators: operatorsFile === '' ? [] : await readOperators(operatorsFile),
    ...readSignIn(config),
  };
}

/** @throws ConfigError where people would sign in over plain HTTP from elsewhere */
function readSignIn(config: AdminConfig) {
  const { COUNTERSIGN_SIGN_IN_KEY_FILE: file, COUNTERSIGN_ADMIN_URL: url } = config;
  if (file === '') return { signInKey: undefined, place: { origin: undefined, secure: false } };
  return {
    signInKey: readKey(file, 'sign-in key'),
    place: placeOfPages(url, config.COUNTERSIGN_ADMIN_HOST),
  };
}

/** Where people sign in; undefined where they do not. */
function deskOf(
  pool: pg.Pool | undefined,
  key: Uint8Array | undefined,
  { operators, record }: Pick<Deps, 'operators' | 'record'>,
): Desk | undefined {
  return pool === undefined || key === undefined
    ? undefined
    : openDesk({ pool, key, operators, record });
}

/** Reads of the chain. That they are away is told but makes nothing unready: changes need no database. */
function openAudit(config: AdminConfig, log: Logger) {
  if (config.COUNTERSIGN_DATABASE_URL_FILE === '') return undefined;
  const atRest = readAtRest(config.COUNTERSIGN_AT_REST_KEYS_FILE);
  const pool = openPool(config.COUNTERSIGN_DATABASE_URL_FILE, log, DATABASE_CONNECTIONS_MAX);
  const watch = watchDatabase(pool, SCHEMA, log);
  const database = openDatabase<AuditTables>(pool);
  return {
    pool,
    reads: auditReads(database, atRest),
    seen: seenReader(database),
    exports: exportReads(pool, atRest),
    payloads: payloadReads(pool),
    proofs: proofReads(pool),
    fault: watch.fault,
    close: async () => {
      watch.close();
      await pool.end();
    },
  };
}

const conditions = (
  bus: Bus,
  view: ControlView,
  projector: Projector,
): Readonly<Record<string, Condition>> => ({
  bus: () => (bus.connected() ? '' : 'the bus is away'),
  control: () => (view.ageMs() <= STALE_MS ? '' : 'the control feed is silent'),
  clock: view.clockFault,
  projector: () => (projector.fault() === '' ? lagging(projector.lag()) : projector.fault()),
});

const lagging = (lag: number): string => (lag <= LAG_MAX ? '' : `${lag} events wait`);

/** Waits until the view knows all that was recorded before this start, so that nobody is registered anew. */
async function caughtUp(bus: Bus, view: ControlView, projector: Projector): Promise<void> {
  const { state } = await bus.jsm.streams.info('CONTROL');
  const last = revisionOf(await bus.epoch('CONTROL'), state.last_seq);
  const deadline = performance.now() + CAUGHT_UP_MS_MAX;
  // Where nothing is projected, waiting does not help; /readyz says why.
  while (projector.fault() === '' && performance.now() < deadline) {
    if (await view.waitFor(last, CAUGHT_UP_LOOK_MS)) return;
  }
}

if (import.meta.main) {
  await run(async () => start(readConfig(AdminConfig, process.env)));
}

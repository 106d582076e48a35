/** Wires the ingress (PEP): the control view and the way to the workers below, routes above. */
import { hostname } from 'node:os';

import { encodeKey } from '#contracts/control.ts';
import { readConfig } from '#host/config.ts';
import { watchControl } from '#host/control-view.ts';
import { watchDurability } from '#host/durability.ts';
import { serveHealth } from '#host/health.ts';
import { readKey, readMacKeys } from '#host/keys.ts';
import { createLog } from '#host/log.ts';
import { connectBus } from '#host/nats.ts';
import { recordPublisher } from '#host/publish.ts';
import { closers, run, type Running } from '#host/run.ts';
import { signedRequester } from '#host/signed-request.ts';
import { startTracing } from '#host/tracing.ts';

import { createAdmission } from './admission.ts';
import { heldRoutes } from './approvals.ts';
import { createAsk } from './ask.ts';
import { authzenRoutes } from './authzen.ts';
import { admissionLimits, callersOf, IngressConfig, mcpOptions, senderOptions } from './config.ts';
import { decisionRoutes } from './decisions.ts';
import { documentRoutes } from './documents.ts';
import { createEntry } from './entry.ts';
import { watchHeld } from './held.ts';
import { createHttp } from './http.ts';
import { watchIssuers } from './identity-peek.ts';
import { watchInFlight } from './in-flight.ts';
import { mcpRoutes } from './mcp/routes.ts';
import { meRoutes } from './me.ts';
import { createMeasure } from './measure.ts';
import { createReportOutcome, outcomeRoutes } from './outcome.ts';
import { receiptKeyRoutes } from './receipt-keys.ts';
import type { Parts, Routes } from './routes.ts';
import { createSeal } from './seal.ts';
import { offerNonces, senderReader } from './sender.ts';
import { tlsOf } from './tls.ts';

/** A control feed that was silent for longer may hide a kill switch. */
const STALE_MS = 5_000;

export async function start(config: IngressConfig): Promise<Running & { readonly url: string }> {
  const log = createLog('ingress', config.COUNTERSIGN_LOG_LEVEL);
  const sealKey = readKey(config.COUNTERSIGN_SEAL_KEY_FILE, 'seal key');
  const macKeys = readMacKeys(config.COUNTERSIGN_MAC_KEYS_FILE);
  const seal = createSeal(sealKey);
  let url = config.COUNTERSIGN_INGRESS_PUBLIC_URL;
  const publicUrl = () => url;
  const tls = tlsOf(config);
  const readSender = senderReader({ ...senderOptions(config), seal, publicUrl });
  const { add, closeAll } = closers(log);
  const bus = await connectBus({
    url: config.COUNTERSIGN_NATS_URL,
    user: 'ingress',
    passwordFile: config.COUNTERSIGN_NATS_PASSWORD_FILE,
    monitorUrl: config.COUNTERSIGN_NATS_MONITOR_URL,
  });
  add('bus', bus.close);
  const tracing = await startTracing('ingress', config.OTEL_EXPORTER_OTLP_ENDPOINT);
  add('traces', tracing.close);
  const durability = await watchDurability(bus, 'OUTCOMES', log);
  add('durability', durability.close);
  const view = await watchControl(bus, {
    log,
    beatAs: `ingress-${encodeKey(hostname())}-${process.pid}`,
  });
  add('control view', view.close);

  const { measure, onStray, onRefused } = createMeasure(() => asking.inFlight());
  const asking = createAsk(bus, {
    inFlightMax: config.COUNTERSIGN_CALLS_IN_FLIGHT_MAX,
    onStray,
    clockOffMs: view.clockOffMs,
  });
  add('calls', asking.close);
  const admission = createAdmission(admissionLimits(config), watchIssuers(view), view);
  const parts: Parts = {
    log,
    view,
    ...createEntry({ admission, ask: asking.ask, readSender, measure, tracing }),
    seal,
    held: await watchHeld(bus, signedRequester(bus, macKeys)),
    inFlight: watchInFlight(view),
    reportOutcome: createReportOutcome(recordPublisher(bus, macKeys)),
    publicUrl,
  };
  const routes: Routes[] = [
    decisionRoutes,
    outcomeRoutes(() => durability.now().durability),
    heldRoutes,
    authzenRoutes,
    meRoutes,
    documentRoutes,
    receiptKeyRoutes,
    mcpRoutes(mcpOptions(config)),
  ];
  const app = createHttp({ log, onRefused, tls, ...callersOf(config) }, (to) => {
    if (config.COUNTERSIGN_INGRESS_DPOP_NONCE) offerNonces(to, seal);
    for (const register of routes) register(to, parts);
  });
  const listening = await app.listen({
    host: config.COUNTERSIGN_INGRESS_HOST,
    port: config.COUNTERSIGN_INGRESS_PORT,
  });
  add('http', () => app.close());
  url ||= listening;

  const health = await serveHealth(
    config.COUNTERSIGN_HEALTH_PORT,
    {
      bus: () => (bus.connected() ? '' : 'the bus is away'),
      control: () => (view.ageMs() <= STALE_MS ? '' : 'the control feed is silent'),
      clock: view.clockFault,
    },
    () => ({ durability: durability.now().durability, revision: view.revision() }),
  );
  add('health', health.close);
  log.info({ url: listening, health: health.port }, 'taking calls');
  return { stop: closeAll, url: listening };
}

if (import.meta.main) await run(() => start(readConfig(IngressConfig, process.env)));

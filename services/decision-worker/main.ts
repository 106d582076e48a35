/** Wires the decision worker (PDP): control view and points below, five checks above, calls in, records and answers out. */
import { principalDigest } from '#contracts/call-hash.ts';
import { CAPABILITY_KEYS_MAX } from '#contracts/capability.ts';
import { readConfig } from '#host/config.ts';
import { watchControl } from '#host/control-view.ts';
import { watchDurability } from '#host/durability.ts';
import { serveHealth } from '#host/health.ts';
import { readKey, readKeyList, readMacKeys } from '#host/keys.ts';
import { createLog } from '#host/log.ts';
import { counter, gauge } from '#host/metrics.ts';
import { connectBus } from '#host/nats.ts';
import { recordPublisher } from '#host/publish.ts';
import { closers, run, type Running } from '#host/run.ts';
import { startTracing } from '#host/tracing.ts';

import { createAlerts } from './alerts.ts';
import { budgetsLeft } from './budgets-left.ts';
import { approvalCheck } from './checks/approval.ts';
import { budgetCheck } from './checks/budget.ts';
import { capabilityCheck, type CapabilityPoints } from './checks/capability.ts';
import { identityCheck } from './checks/identity.ts';
import { intentCheck } from './checks/intent.ts';
import { policyCheck } from './checks/policy.ts';
import { runawayLimits } from './checks/runaway.ts';
import { WorkerConfig } from './config.ts';
import { guarded } from './guard.ts';
import { createJudge } from './judge.ts';
import { createMe } from './me.ts';
import { createAnswers } from './points/answers.ts';
import { approvalEntries } from './points/approvals.ts';
import { bearerTenants, orCapability } from './points/bearer-capabilities.ts';
import { createBundles } from './points/bundles.ts';
import { createCallIds } from './points/call-ids.ts';
import { capabilityOpener } from './points/capabilities.ts';
import { catalogueOf } from './points/catalogue.ts';
import { createCounters } from './points/counters.ts';
import { staleSourceOf } from './points/fact-sources.ts';
import { importedKeysOf } from './points/imported-keys.ts';
import { identityVerifier } from './points/issuers.ts';
import { proofVerifier } from './points/proofs.ts';
import { rolloutOf } from './points/rollout.ts';
import { scopeToken, stateOf } from './points/state.ts';
import { stopsOf } from './points/stops.ts';
import { startWatchdog } from './points/watchdog.ts';
import { createReceipts } from './receipts.ts';
import { createRecorder } from './recorder.ts';
import { serveCalls, STALE_MS } from './serve.ts';
import { createVisible } from './visible.ts';

const RECORD_TIMEOUT_MS = 5_000;

export async function start(config: WorkerConfig): Promise<Running> {
  const log = createLog('decision-worker', config.COUNTERSIGN_LOG_LEVEL);
  const worker = config.COUNTERSIGN_WORKER_ID || `worker-${process.pid}`;
  const capabilityKeys = readKeyList(
    config.COUNTERSIGN_CAPABILITY_KEYS_FILE,
    'capability keys',
    CAPABILITY_KEYS_MAX,
  );
  const pseudonymKey = readKey(config.COUNTERSIGN_PSEUDONYM_KEY_FILE, 'pseudonym key');
  const macKeys = readMacKeys(config.COUNTERSIGN_MAC_KEYS_FILE);
  const busOptions = {
    url: config.COUNTERSIGN_NATS_URL,
    user: 'decision-worker',
    passwordFile: config.COUNTERSIGN_NATS_PASSWORD_FILE,
    monitorUrl: config.COUNTERSIGN_NATS_MONITOR_URL,
  };
  const { add, closeAll } = closers(log);
  const bus = await connectBus(busOptions);
  add('bus', bus.close);
  const tracing = await startTracing('decision-worker', config.OTEL_EXPORTER_OTLP_ENDPOINT);
  add('traces', tracing.close);
  const durability = await watchDurability(bus, 'DECISIONS', log);
  add('durability', durability.close);
  const view = await watchControl(bus, { log, beatAs: worker });
  add('control view', view.close);
  const watchdog = startWatchdog(busOptions);
  add('watchdog', watchdog.close);

  const state = stateOf(view, pseudonymKey);
  const catalogue = catalogueOf(view);
  const stops = stopsOf(view);
  const rollout = rolloutOf(view);
  const bundles = createBundles(view, await bus.objects('bundles'), { watchdog, log });
  const capabilities: CapabilityPoints = {
    open: capabilityOpener(
      capabilityKeys,
      await bus.bucket('keyed'),
      importedKeysOf(view, capabilityKeys),
    ),
    audience: config.COUNTERSIGN_CAPABILITY_AUDIENCE,
    agent: state.agent,
  };
  const counters = createCounters(bus, log);
  add('refunds', counters.settled);
  const publish = recordPublisher(bus, macKeys);
  const alert = createAlerts(publish, log);
  const checks = guarded(
    {
      identity: identityCheck({
        verify: orCapability(identityVerifier(view), {
          open: capabilities.open,
          accepts: bearerTenants(view),
        }),
        prove: proofVerifier(await bus.bucket('proofs')),
        digest: principalDigest,
        ...state,
      }),
      capability: capabilityCheck({ ...capabilities, ...stops }),
      intent: intentCheck(state),
      policy: policyCheck({
        ...state,
        ...bundles,
        mode: rollout.mode,
        staleSource: staleSourceOf(view),
      }),
      approval: approvalCheck(approvalEntries(await bus.bucket('approvals'), macKeys, log)),
      budget: budgetCheck({
        ...state,
        ...counters,
        scopeToken,
        runawayLimits: runawayLimits({ ...counters, scopeToken }),
        onRunaway: ({ tenant }, { agent, agentClass }, { scope, ...limit }) =>
          alert({ ...limit, tenant, agent, agentClass, rule: scope }),
      }),
    },
    {
      runs: counter('countersign_checks', 'Checks that were made.'),
      seconds: counter('countersign_check_seconds', 'Seconds that checks took together.'),
      failures: counter(
        'countersign_check_failures',
        'Checks that failed instead of answering; each is a block.',
      ),
      onError: (check, error) =>
        log.error({ err: error, check }, 'check failed; the call is blocked'),
    },
  );
  const receipts = await createReceipts({
    bucket: await bus.bucket('control'),
    view,
    worker,
    macKeys,
    log,
  });
  add('receipt keys', receipts.close);
  const recorder = createRecorder(publish, RECORD_TIMEOUT_MS, receipts.sign);
  const decisions = counter<{ verdict: string; reason: string }>(
    'countersign_decisions',
    'Answers by verdict and reason.',
  );
  const judge = createJudge({
    checks,
    recorder,
    callIds: createCallIds(await bus.bucket('calls'), createAnswers(bus)),
    ...rollout,
    durability: durability.now,
    worker,
    receiptKey: receipts.key,
    tracing,
    onAnswer: (verdict, reason) => decisions.add(1, { verdict, reason }),
  });
  const dropped = counter('countersign_calls_dropped', 'Calls that nobody waited for any more.');
  const sight = { identity: checks.identity, capabilities, catalogue, stops, lift: rollout.lift };
  const serving = serveCalls(bus, {
    view,
    catalogue,
    bundles,
    judge,
    visible: createVisible(sight),
    me: createMe({ ...sight, budgetsLeft: budgetsLeft({ ...state, ...counters, scopeToken }) }),
    log,
    onDropped: () => dropped.add(1),
  });
  add('calls', serving.drain);
  gauge('countersign_control_age_seconds', 'Age of the control feed.', () => view.ageMs() / 1_000);
  gauge(
    'countersign_records_waiting',
    'Records that wait for a place in a message.',
    recorder.waiting,
  );

  const health = await serveHealth(
    config.COUNTERSIGN_HEALTH_PORT,
    {
      bus: () => (bus.connected() ? '' : 'the bus is away'),
      control: () => (view.ageMs() <= STALE_MS ? '' : 'the control feed is silent'),
      clock: view.clockFault,
      floor: () => (typeof bundles.floor() === 'string' ? 'no floor policy is active' : ''),
    },
    () => ({
      ...durability.now(),
      worker,
      revision: view.revision(),
      broken_policies: bundles.broken(),
    }),
  );
  add('health', health.close);
  log.info({ worker, ...durability.now() }, 'deciding');
  return { stop: closeAll };
}

if (import.meta.main) await run(() => start(readConfig(WorkerConfig, process.env)));

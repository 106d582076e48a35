/** Wires budget-settler: outcomes in, journals of workers looked at, counters corrected. Slow, down or twice: no decision notices. */
import { readConfig } from '#host/config.ts';
import { consume } from '#host/consume.ts';
import { serveHealth } from '#host/health.ts';
import { readMacKeys } from '#host/keys.ts';
import { createLog } from '#host/log.ts';
import { counter, gauge } from '#host/metrics.ts';
import { connectBus } from '#host/nats.ts';
import { closers, run, type Running } from '#host/run.ts';

import { brokerClock } from './clock.ts';
import { SettlerConfig } from './config.ts';
import { addOnce } from './counters.ts';
import { type LeaseParts, settleLeases } from './leases.ts';
import { outcomeSettler } from './outcomes.ts';

/** With SILENT_MS well within the lease. */
const PASS_MS = 5_000;
const BATCH_MAX = 128;

const givenBack = counter<{ why: string }>(
  'countersign_budget_given_back_units',
  'Units given back to budget counters, by why: outcome or lease.',
);

/** @param options for tests: another silence */
export async function start(
  config: SettlerConfig,
  options: Pick<LeaseParts, 'silentMs'> & { readonly passMs?: number } = {},
): Promise<Running> {
  const log = createLog('budget-settler', config.COUNTERSIGN_LOG_LEVEL);
  const keys = readMacKeys(config.COUNTERSIGN_MAC_KEYS_FILE);
  const { add, closeAll } = closers(log);
  const bus = await connectBus({
    url: config.COUNTERSIGN_NATS_URL,
    user: 'budget-settler',
    passwordFile: config.COUNTERSIGN_NATS_PASSWORD_FILE,
    monitorUrl: config.COUNTERSIGN_NATS_MONITOR_URL,
  });
  add('bus', bus.close);
  const clock = await brokerClock(bus);
  const parts = { bus, keys, add: addOnce(bus), log, now: clock.now };
  const onGivenBack = (why: string) => (units: number) => givenBack.add(units, { why });

  const settling = consume(
    bus,
    'settle-outcomes',
    { batchMax: BATCH_MAX, log },
    outcomeSettler({ ...parts, onGivenBack: onGivenBack('outcome') }),
  );
  add('outcomes', settling.stop);
  const leases = { ...parts, onGivenBack: onGivenBack('lease'), ...options };
  let passing = Promise.resolve();
  const timer = setInterval(() => {
    passing = passing
      .then(clock.read)
      .then(() => settleLeases(leases))
      .catch((err: unknown) => log.warn({ err }, 'journals not looked at'));
  }, options.passMs ?? PASS_MS);
  add('leases', () => {
    clearInterval(timer);
    return passing;
  });
  gauge('countersign_settler_lag_messages', 'Outcomes that are not settled yet.', settling.lag);

  const health = await serveHealth(
    config.COUNTERSIGN_HEALTH_PORT,
    { bus: () => (bus.connected() ? '' : 'the bus is away'), clock: clock.fault },
    () => ({ lag: settling.lag() }),
  );
  add('health', health.close);
  log.info('settling');
  return { stop: closeAll };
}

if (import.meta.main) await run(() => start(readConfig(SettlerConfig, process.env)));

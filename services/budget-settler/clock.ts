/** The broker's clock, which stamps what this process compares times with: its own may be wrong. */
import { clockFault, clockOffMs, type ClockReading } from '#host/clock.ts';
import type { Bus } from '#host/nats.ts';

export interface BrokerClock {
  /** Milliseconds UTC, by the last reading and our monotonic time. */
  readonly now: () => number;
  /** @throws when the broker does not answer */
  readonly read: () => Promise<void>;
  /** For /readyz; empty when our own clock agrees. */
  readonly fault: () => string;
}

export async function brokerClock(bus: Bus): Promise<BrokerClock> {
  const ask = async (): Promise<ClockReading> => {
    const from = performance.now();
    const { ts } = await bus.jsm.streams.info('JOURNAL');
    // Every server that we accept says it (2.10 or later).
    return { theirs: Date.parse(ts ?? ''), from, to: performance.now() };
  };
  let reading = await ask();
  return {
    now: () => reading.theirs + performance.now() - reading.to,
    read: async () => {
      reading = await ask();
    },
    fault: () => clockFault(clockOffMs(reading), "the broker's"),
  };
}

/**
 * Budget counters at the broker (ADR-49): add, and learn the value after it. Adds to one counter that meet while an
 * earlier one is in flight travel together as `+k`; the i-th of them then counts as the i-th of the k.
 */
import type { Logger } from '#host/log.ts';
import { type Bus, newHeaders } from '#host/nats.ts';

const TIMEOUT_MS = 2_000;

export interface Counters {
  /** The value after adding one. Rejects when the broker did not acknowledge. */
  readonly add: (subject: string) => Promise<number>;
  /** Takes one back, in the background. */
  readonly refund: (subject: string) => void;
  /** Resolves when everything that was to be given back is, or is lost. */
  readonly settled: () => Promise<void>;
}

interface Waiting {
  readonly resolve: (value: number) => void;
  readonly reject: (error: unknown) => void;
}

export function createCounters(bus: Bus, log: Logger): Counters {
  const waiting = new Map<string, Waiting[]>();

  const increment = async (subject: string, by: number): Promise<number> => {
    const headers = newHeaders();
    headers.set('Nats-Incr', by > 0 ? `+${by}` : String(by));
    // No expected-stream header: the server refuses every condition on an increment (ADR-49).
    const adding = bus.js.publish(subject, '', {
      headers,
      timeout: TIMEOUT_MS,
      retries: 1,
    });
    const ack = await bus.whileConnected(adding);
    // The value is a decimal string of any size; beyond 2^53 no ceiling of ours applies.
    const value = Number((ack as { val?: string }).val ?? Number.NaN);
    if (!Number.isSafeInteger(value)) throw new Error('the counter gave no value');
    return value;
  };

  const send = async (subject: string) => {
    for (
      let group = waiting.get(subject);
      group !== undefined && group.length > 0;
      group = waiting.get(subject)
    ) {
      waiting.set(subject, []);
      try {
        const after = await increment(subject, group.length);
        for (const [index, { resolve }] of group.entries())
          resolve(after - group.length + 1 + index);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    waiting.delete(subject);
  };

  return {
    add: (subject) =>
      new Promise((resolve, reject) => {
        const group = waiting.get(subject);
        if (group !== undefined) {
          group.push({ resolve, reject });
          return;
        }
        waiting.set(subject, [{ resolve, reject }]);
        void send(subject);
      }),
    ...createRefunds(increment, log),
  };
}

/**
 * Grouped like adds: a tenant at its ceiling is refused often, and one stored message for each refusal would take the
 * disk from the records of everybody.
 */
function createRefunds(
  increment: (subject: string, by: number) => Promise<number>,
  log: Logger,
): Pick<Counters, 'refund' | 'settled'> {
  /** What is owed and not on its way yet, by subject. */
  const owed = new Map<string, number>();
  const giving = new Set<Promise<void>>();
  const giveBack = async (subject: string) => {
    for (let count = owed.get(subject) ?? 0; count > 0; count = owed.get(subject) ?? 0) {
      owed.set(subject, 0);
      await increment(subject, -count).catch((error: unknown) =>
        log.warn({ err: error, count }, 'a refund was lost; the ceiling counts too many'),
      );
    }
    owed.delete(subject);
  };
  return {
    refund: (subject) => {
      const before = owed.get(subject);
      owed.set(subject, (before ?? 0) + 1);
      if (before !== undefined) return;
      const given = giveBack(subject).finally(() => giving.delete(given));
      giving.add(given);
    },
    settled: async () => void (await Promise.all(giving)),
  };
}

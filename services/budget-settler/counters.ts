/** Additions to budget counters under names that the broker knows for TAKE_KNOWN_MS: each name counts once. */
import { type Bus, newHeaders } from '#host/nats.ts';

/** @returns whether the counter had an addition of this name before. @throws when the broker does not acknowledge */
export type AddOnce = (counter: string, by: number, name: string) => Promise<boolean>;

const TIMEOUT_MS = 5_000;

export function addOnce(bus: Bus): AddOnce {
  return async (counter, by, name) => {
    const headers = newHeaders();
    headers.set('Nats-Incr', by >= 0 ? `+${by}` : String(by));
    const adding = bus.js.publish(counter, '', {
      headers,
      msgID: name,
      timeout: TIMEOUT_MS,
      retries: 1,
    });
    return (await bus.whileConnected(adding)).duplicate;
  };
}

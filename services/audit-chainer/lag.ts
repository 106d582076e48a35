/** How far the chain is behind each stream, asked of the broker: right also while nothing is delivered. */
import { CONSUMERS, type StreamName } from '#contracts/streams.ts';
import type { Logger } from '#host/log.ts';
import type { Bus } from '#host/nats.ts';

import { CHAINED } from './sealed-through.ts';

const ASK_MS = 2_000;

export interface Lag {
  /** Messages of each stream that are not in the chain yet; a stream is missing until it was asked. */
  readonly messages: () => ReadonlyMap<StreamName, number>;
  readonly close: () => void;
}

export function watchLag(bus: Bus, log: Logger): Lag {
  const messages = new Map<StreamName, number>();
  const ask = async () => {
    for (const name of CHAINED) {
      const { stream } = CONSUMERS[name];
      const { num_pending, num_ack_pending } = await bus.jsm.consumers.info(stream, name);
      messages.set(stream, num_pending + num_ack_pending);
    }
  };
  const again = () =>
    void ask().catch((error: unknown) => log.debug({ err: error }, 'lag cannot be asked'));
  again();
  const timer = setInterval(again, ASK_MS);
  return { messages: () => messages, close: () => clearInterval(timer) };
}

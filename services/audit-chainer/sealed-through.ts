/** How far a stream's entries are safe elsewhere: the one seam between the chain and the spool behind it. */
import { type ConsumerName, CONSUMERS, type StreamName } from '#contracts/streams.ts';
import type { Bus } from '#host/nats.ts';

/** Streams that are chained, by the consumer that does it. */
export const CHAINED = [
  'chain-decisions',
  'chain-outcomes',
  'chain-approvals',
  'chain-control',
] as const satisfies ConsumerName[];

/**
 * Sequence up to which every entry of a stream is in the chain. Messages are acknowledged after the commit and only
 * then, so the acknowledgement floor says it. (Later: up to which every row is under a witnessed checkpoint.)
 */
export async function sealedThrough(bus: Bus, stream: StreamName): Promise<number> {
  const name = CHAINED.find((consumer) => CONSUMERS[consumer].stream === stream);
  if (name === undefined) return 0;
  const { ack_floor: floor } = await bus.jsm.consumers.info(stream, name);
  return floor.stream_seq;
}

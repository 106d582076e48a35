/** Which durability an acknowledgement of a stream really has: asked of the server at start, after reconnects, every minute. */
import type { Durability } from '#contracts/call.ts';
import type { StreamName } from '#contracts/streams.ts';

import type { Logger } from './log.ts';
import type { Bus } from './nats.ts';

const ASK_MS = 60_000;

export interface DurabilityNow {
  readonly epoch: string;
  readonly durability: Durability;
}

/** @throws when the stream is not there at the start */
export async function watchDurability(
  bus: Bus,
  stream: StreamName,
  log: Logger,
): Promise<{ readonly now: () => DurabilityNow; readonly close: () => void }> {
  const ask = async (): Promise<DurabilityNow> => ({
    epoch: await bus.epoch(stream),
    // The server's monitoring may be closed to us: then nothing is claimed.
    durability: await bus.durability(stream).catch((): Durability => 'none'),
  });
  let known = await ask();
  const again = () =>
    void ask().then(
      (next) => {
        if (next.durability !== known.durability)
          log.warn({ before: known, now: next }, 'durability changed');
        known = next;
      },
      (error: unknown) => log.warn({ err: error }, 'durability cannot be asked'),
    );
  const timer = setInterval(again, ASK_MS);
  bus.onChange((connected) => {
    if (connected) again();
  });
  return { now: () => known, close: () => clearInterval(timer) };
}

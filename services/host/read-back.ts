/** Reading stored messages again, from a time on, without a consumer: for what is looked up seldom. */
import type { StreamName } from '#contracts/streams.ts';

import type { Bus } from './nats.ts';

export interface ReadBack {
  /** Milliseconds UTC by the broker's clock. */
  readonly since: number;
  /** Subject, perhaps with wildcards; without it all of the stream. */
  readonly subject?: string;
  /** Messages of one request. */
  readonly atOnce: number;
}

export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  /** Milliseconds UTC. */
  readonly storedAt: number;
  readonly body: Uint8Array;
  readonly header: (name: string) => string;
}

/** No message fits: nothing, or nothing more, is there. */
const NO_RESULTS = 404;

/** In the order of the stream, up to what is stored when the last request is made. @throws when the broker is away */
export async function* readBack(
  bus: Bus,
  stream: StreamName,
  { since, subject, atOnce }: ReadBack,
): AsyncGenerator<StoredMessage> {
  const filter = subject === undefined ? {} : { next_by_subj: subject };
  let from: { start_time: Date } | { seq: number } = { start_time: new Date(since) };
  for (;;) {
    let last = 0;
    try {
      const batch = { ...from, ...filter, batch: atOnce };
      for await (const message of await bus.jsm.direct.getBatch(stream, batch)) {
        last = message.seq;
        yield {
          subject: message.subject,
          sequence: message.seq,
          storedAt: message.time.getTime(),
          body: message.data,
          header: (name) => message.header.get(name),
        };
      }
    } catch (error) {
      if ((error as { code?: number }).code !== NO_RESULTS) throw error;
    }
    if (last === 0) return;
    from = { seq: last + 1 };
  }
}

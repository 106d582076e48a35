/** Publishing a record: signed by this process's MAC key, acknowledged by the stream before it counts. */
import type { MacKeys } from '#contracts/mac.ts';
import { macHeader } from '#contracts/mac.ts';
import { HEADERS } from '#contracts/subjects.ts';

import { type Bus, newHeaders } from './nats.ts';

/** The stream did not acknowledge: the record may or may not be stored, and the caller must act as if it were not. */
export class NotRecorded extends Error {}

/** Another message is the first on the subject: this one is surely not stored. */
export class NotFirst extends NotRecorded {}

const WRONG_LAST_SEQUENCE = 10071;

export interface Stored {
  readonly sequence: number;
  /** True when the stream had this message id already. */
  readonly duplicate: boolean;
}

export type PublishRecord = (
  subject: string,
  body: string,
  options?: {
    readonly timeoutMs?: number;
    readonly messageId?: string;
    /** The stored message must be the first on its subject. */
    readonly first?: boolean;
  },
) => Promise<Stored>;

/** A publisher of records under the bus user's name. @throws NotRecorded from each publish that was not acknowledged */
export function recordPublisher(bus: Bus, keys: MacKeys): PublishRecord {
  const key = keys.get(bus.user)?.[0];
  if (key === undefined) throw new Error(`no MAC key for ${bus.user}`);
  return async (subject, text, { timeoutMs = 5_000, messageId, first } = {}) => {
    const body = Buffer.from(text); // once, for the MAC and for the wire
    const headers = newHeaders();
    headers.set(HEADERS.mac, macHeader(bus.user, key, { subject, body }));
    // The broker knows the conditions of a publish by these names.
    if (messageId !== undefined) headers.set('Nats-Msg-Id', messageId);
    if (first === true) headers.set('Nats-Expected-Last-Subject-Sequence', '0');
    if (!bus.connected()) throw new NotRecorded('the bus is away');
    try {
      // One try: a repeat would outlive the caller's deadline.
      return await bus.store(subject, body, { headers, timeoutMs });
    } catch (cause) {
      const taken = first === true && (cause as { code?: number }).code === WRONG_LAST_SEQUENCE;
      if (taken) throw new NotFirst(`taken: ${subject}`, { cause });
      throw new NotRecorded(`not acknowledged: ${subject}`, { cause });
    }
  };
}

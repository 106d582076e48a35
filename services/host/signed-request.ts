/** Request and reply between two of our processes, with the MAC of the sender: permissions alone do not prove a writer. */
import { macHeader, type MacKeys } from '#contracts/mac.ts';
import { HEADERS } from '#contracts/subjects.ts';

import { type Bus, newHeaders } from './nats.ts';

/** Nobody answered: what was asked for may or may not have happened. */
export class NotAnswered extends Error {}

const TIMEOUT_MS = 5_000;

/** The text that answers a message. @throws NotAnswered */
export type SignedRequest = (
  subject: string,
  body: string,
  options?: { readonly timeoutMs?: number },
) => Promise<string>;

/** Asks under the bus user's name. */
export function signedRequester(bus: Bus, keys: MacKeys): SignedRequest {
  const key = keys.get(bus.user)?.[0];
  if (key === undefined) throw new Error(`no MAC key for ${bus.user}`);
  return async (subject, body, { timeoutMs = TIMEOUT_MS } = {}) => {
    if (!bus.connected()) throw new NotAnswered('the bus is away');
    const headers = newHeaders();
    headers.set(HEADERS.mac, macHeader(bus.user, key, { subject, body }));
    try {
      const reply = await bus.whileConnected(bus.request(subject, body, { headers, timeoutMs }));
      return reply.string();
    } catch (cause) {
      throw new NotAnswered(`not answered: ${subject}`, { cause });
    }
  };
}

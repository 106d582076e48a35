/**
 * Storing messages in streams, each acknowledged. One inbox, one map and one coarse timer for all of them: the client's
 * own request takes a timer and the stack of an error each, which cost more than the rest of a lone publish
 * (docs/performance.md).
 */
import { randomBytes } from 'node:crypto';

import type { Msg, MsgHdrs } from './nats.ts';

/** What a stream says of a message that it holds. */
export interface StoreAck {
  readonly sequence: number;
  /** True when the stream had this message id already. */
  readonly duplicate: boolean;
  /** The value of a counter after the increment, as a decimal string of any size; empty for other messages. */
  readonly value: string;
}

/** The stream refused, said nothing in time, or the connection was lost: the message may or may not be stored. */
export class NotStored extends Error {
  /** Error code of the JetStream API; 0 when the stream said nothing. */
  readonly code: number;
  constructor(message: string, code = 0) {
    super(message);
    this.code = code;
  }
}

/** Stores one message. @throws NotStored */
export type Store = (
  subject: string,
  body: string | Uint8Array,
  options: { readonly headers?: MsgHdrs; readonly timeoutMs: number },
) => Promise<StoreAck>;

interface Waiting {
  readonly resolve: (ack: StoreAck) => void;
  readonly reject: (error: NotStored) => void;
  /** By performance.now(). */
  readonly deadline: number;
}

/** What is needed of a connection. */
interface Wire {
  readonly publish: (
    subject: string,
    body: string | Uint8Array,
    options: { readonly reply: string; readonly headers?: MsgHdrs },
  ) => void;
  readonly subscribe: (
    subject: string,
    options: { readonly callback: (error: Error | null, message: Msg) => void },
  ) => unknown;
}

/** The form in which a stream acknowledges. Untrusted in form. */
interface AckBody {
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly val?: string;
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

const SWEEP_MS = 20;
const NO_RESPONDERS = 503;

/** @returns `lost` rejects what is on its way: after a lost connection nobody answers it any more */
export function createStore(
  connection: Wire,
  inbox: string,
): { readonly store: Store; readonly lost: () => void } {
  const prefix = `${inbox}.${randomBytes(9).toString('hex')}.`;
  const waiting = new Map<string, Waiting>();
  let next = 0;
  let sweeper: NodeJS.Timeout | undefined;

  const end = (token: string): Waiting | undefined => {
    const entry = waiting.get(token);
    waiting.delete(token);
    return entry;
  };
  const sweep = () => {
    const now = performance.now();
    for (const [token, { deadline }] of waiting) {
      if (now > deadline) end(token)?.reject(new NotStored('not acknowledged in time'));
    }
    if (waiting.size > 0) return;
    clearInterval(sweeper);
    sweeper = undefined;
  };
  connection.subscribe(`${prefix}*`, {
    callback: (error, message) => {
      if (error !== null) return;
      const entry = end(message.subject.slice(prefix.length));
      if (entry !== undefined) settle(entry, message);
    },
  });

  return {
    store: (subject, body, { headers, timeoutMs }) =>
      new Promise((resolve, reject) => {
        const token = (next++).toString(36);
        const deadline = performance.now() + timeoutMs;
        waiting.set(token, { resolve, reject, deadline });
        sweeper ??= setInterval(sweep, SWEEP_MS);
        const reply = prefix + token;
        try {
          connection.publish(subject, body, headers === undefined ? { reply } : { headers, reply });
        } catch (error) {
          end(token)?.reject(new NotStored(String(error)));
        }
      }),
    lost: () => {
      for (const token of waiting.keys()) end(token)?.reject(new NotStored('the bus went away'));
    },
  };
}

function settle({ resolve, reject }: Waiting, message: Msg): void {
  if (message.data.length === 0 && message.headers?.code === NO_RESPONDERS) {
    return reject(new NotStored('no stream takes this subject'));
  }
  let ack: AckBody;
  try {
    ack = message.json<AckBody>();
  } catch {
    return reject(new NotStored('the acknowledgement is not JSON'));
  }
  const { seq = 0, duplicate = false, val = '', error } = ack;
  if (error !== undefined || seq === 0) {
    return reject(new NotStored(error?.description ?? 'no acknowledgement', error?.err_code ?? 0));
  }
  resolve({ sequence: seq, duplicate, value: val });
}

/** What every kind of channel has in common: a notice becomes one request, and its answer says what became of it. */
import { createHmac } from 'node:crypto';

import type { ApprovalEventValue } from '#contracts/approval.ts';
import type { ApprovalEvent } from '#contracts/subjects.ts';

import type { Channel, SecretName } from './channels.ts';
import type { Answered, Outgoing } from './outgoing.ts';

/** One event of a held call, for one channel. */
export interface Notice {
  readonly tenant: string;
  readonly approval: string;
  readonly step: number;
  readonly channel: string;
  /** The first call of the message in which this one stands: itself, where it stands alone. */
  readonly lead: string;
  readonly kind: 'ask' | 'update';
  readonly event: NoticeEvent;
  /** It may stand there already. */
  readonly repeat: boolean;
}

export interface NoticeEvent {
  /** Of the event's leaf: the same whenever and wherever it is told. */
  readonly id: string;
  readonly at: number;
  readonly by: string;
  readonly event: ApprovalEvent;
  readonly state: string;
  readonly value: ApprovalEventValue;
}

/** A call in a message: its newest event. */
export type Call = Pick<Notice, 'approval' | 'step' | 'event'>;

/** The message that stands at a channel, as its vendor names it; empty where none does. */
export interface Standing {
  readonly place: string;
  readonly message: string;
}

export interface Around {
  readonly channel: Channel;
  /** Page of a call. */
  readonly link: (approval: string) => string;
  readonly standing: Standing;
  /** Every call that stands in the message, as it is now, oldest first. */
  readonly calls: readonly Call[];
  /** The call was asked for here before: this is a reminder. */
  readonly again: boolean;
  readonly secret: (what: SecretName) => Promise<string>;
  /** For the buttons of a call. */
  readonly nonce: (call: Call) => string;
  readonly now: number;
}

export type Result =
  | { readonly is: 'sent'; readonly standing?: Standing }
  /** Again after this time at the earliest. */
  | { readonly is: 'later'; readonly afterMs: number; readonly fault: string }
  /** `alone`: it is this message that cannot be, not the channel. */
  | { readonly is: 'never'; readonly fault: string; readonly alone?: true };

export interface Vendor {
  /** Similar calls stand in one message, which is changed in place. */
  readonly groups: boolean;
  /** The same message twice is one, by its id there. */
  readonly repeatable: (notice: Notice, around: Pick<Around, 'standing' | 'again'>) => boolean;
  /** The request, undefined where this channel is not told of such an event. @throws NoSecret */
  readonly make: (notice: Notice, around: Around) => Promise<Outgoing | undefined>;
  readonly read: (answer: Answered, now: number) => Result;
}

/** A channel without its secret: set up half. */
export class NoSecret extends Error {}

/** A message may take no more than this in JSON. */
export const JSON_TYPE = 'application/json; charset=utf-8';

/** Milliseconds that an answer asks to wait: seconds or a date (RFC 9110 section 10.2.3); 0 for none. At most an hour. */
export function retryAfterMs({ retryAfter }: Pick<Answered, 'retryAfter'>, now: number): number {
  const text = retryAfter.trim();
  const date = text.endsWith(' GMT') ? Date.parse(text) - now : 0;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : date;
  return ms > 0 ? Math.min(ms, 3_600_000) : 0;
}

/** An answer that only its status explains. */
export function byStatus(answer: Answered, now: number): Result {
  const { status } = answer;
  if (status >= 200 && status < 300) return { is: 'sent' };
  const fault = `answered ${status}`;
  const passing = status === 408 || status === 425 || status === 429 || status >= 500;
  if (passing) return { is: 'later', afterMs: retryAfterMs(answer, now), fault };
  return [400, 413, 422].includes(status)
    ? { is: 'never', fault, alone: true }
    : { is: 'never', fault };
}

const SECRET = /^whsec_([A-Za-z0-9+/]{32,128}={0,2})$/;
const SECRET_BYTES_MIN = 24;

/** Key in a secret of Standard Webhooks, undefined where it is none. */
export function webhookKey(secret: string): Buffer | undefined {
  const key = Buffer.from(SECRET.exec(secret)?.[1] ?? '', 'base64');
  return key.length >= SECRET_BYTES_MIN ? key : undefined;
}

/** Signature of Standard Webhooks 1.0.0, `v1,<base64>`. @param timestamp seconds */
export function webhookSignature(
  key: Uint8Array,
  { id, timestamp, body }: { id: string; timestamp: string; body: string | Uint8Array },
): string {
  const mac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body);
  return `v1,${mac.digest('base64')}`;
}

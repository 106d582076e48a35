/**
 * What admin asks of, and tells, the notifier: request and reply on `v1.notify.<tenant>`, each request with the MAC of
 * its sender. Channels and how they are, what people were told, dead letters, a test message.
 */
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';

import { Risk } from './approval.ts';
import { ThingId } from './control.ts';
import { ApprovalIdSchema } from './ids.ts';

const closed = { additionalProperties: false } as const;
const Instant = Type.Integer({ minimum: 0 });

/** A request that is older, or from further ahead, is refused. */
export const NOTIFY_ASK_AGE_MS = 30_000;
/** Most notices of one page. */
export const NOTICE_PAGE_MAX = 200;

/** What a channel leads to. */
export const CHANNEL_KINDS = ['slack', 'webhook', 'pagerduty', 'teams'] as const;
/** One of them. */
export const ChannelKind = Type.Unsafe<(typeof CHANNEL_KINDS)[number]>({
  type: 'string',
  enum: [...CHANNEL_KINDS],
});

/** due: it waits, or is tried again. sent: the vendor took it. dead: it is not tried any more. */
export const NOTICE_STATES = ['due', 'sent', 'dead'] as const;
/** One of them. */
export const NoticeState = Type.Unsafe<(typeof NOTICE_STATES)[number]>({
  type: 'string',
  enum: [...NOTICE_STATES],
});
export type NoticeState = Static<typeof NoticeState>;

/** Dead letters that are sent again. */
export const NoticeSelection = Type.Object(
  {
    channel: Type.Optional(ThingId),
    approval: Type.Optional(ApprovalIdSchema),
  },
  { ...closed, description: 'All dead letters of this channel, of this call, or of the tenant.' },
);
export type NoticeSelection = Static<typeof NoticeSelection>;

const head = { v: Type.Literal(1), at: Instant };

/** What admin may ask. */
export const NotifyAsk = Type.Union([
  /** The tenant's channels; with `tool` and `risk` also which of them want such a call. */
  Type.Object(
    {
      ...head,
      ask: Type.Literal('channels'),
      call: Type.Optional(
        Type.Object({ tool: Type.String({ maxLength: 128 }), risk: Risk }, closed),
      ),
    },
    closed,
  ),
  Type.Object(
    {
      ...head,
      ask: Type.Literal('list'),
      /** '' = all. */
      state: Type.Union([NoticeState, Type.Literal('')]),
      limit: Type.Integer({ minimum: 1, maximum: NOTICE_PAGE_MAX }),
      /** `position` of the last one seen; 0 = from the newest. */
      before: Instant,
    },
    closed,
  ),
  Type.Object({ ...head, ask: Type.Literal('replay'), of: NoticeSelection }, closed),
  Type.Object({ ...head, ask: Type.Literal('test'), channel: ThingId, by: ThingId }, closed),
]);
export type NotifyAsk = Static<typeof NotifyAsk>;

/** A channel as it is set up and as it is. */
export const ChannelItem = Type.Object({
  name: ThingId,
  kind: ChannelKind,
  to: Type.String({ description: 'Conversation or host, without secrets; may be empty.' }),
  risks: Type.Array(Risk, { description: 'Empty = any.' }),
  tools: Type.Array(Type.String(), { description: 'Empty = any.' }),
  people: Type.Integer({ description: 'Persons who are linked to operators.' }),
  wants: Type.Boolean({ description: 'Whether a tier without channels means it for this call.' }),
  down: Type.Boolean(),
  since: Type.Integer({ description: 'Milliseconds UTC of that state; 0 = since ever.' }),
  fault: Type.String(),
  due: Type.Integer({ description: 'Notices that wait.' }),
  dead: Type.Integer({ description: 'Dead letters.' }),
});
export type ChannelItem = Static<typeof ChannelItem>;

/** One event of a held call, for one channel. */
export const NoticeItem = Type.Object({
  position: Type.Integer({ description: 'For the next page.' }),
  approval_id: ApprovalIdSchema,
  step: Type.Integer(),
  channel: Type.String(),
  kind: Type.String({ description: 'ask: a person is asked. update: what was asked has changed.' }),
  event: Type.String(),
  tool: Type.String(),
  state: NoticeState,
  attempts: Type.Integer(),
  fault: Type.String(),
  at: Type.Integer({ description: 'Of the event, milliseconds UTC.' }),
  due_at: Type.Integer(),
});
export type NoticeItem = Static<typeof NoticeItem>;

/** over: dead letters that ask about calls which do not wait any more; they stay dead. */
export const Replayed = Type.Object({ replayed: Type.Integer(), over: Type.Integer() });
export type Replayed = Static<typeof Replayed>;

/** Whether the vendor took a test message. */
export const Tested = Type.Object({
  sent: Type.Boolean(),
  fault: Type.String({ description: 'Empty when it was sent.' }),
});
export type Tested = Static<typeof Tested>;

/** not_found: no such channel. unavailable: nothing happened; again later. */
export type NotifyFault = 'not_found' | 'malformed' | 'unavailable';

/** Value of the answer to each ask. */
export interface NotifyValues {
  readonly channels: { readonly items: ChannelItem[] };
  readonly list: { readonly items: NoticeItem[]; readonly more: boolean };
  readonly replay: Replayed;
  readonly test: Tested;
}

/** Answer to an ask. */
export type NotifyReply<Ask extends NotifyAsk['ask'] = NotifyAsk['ask']> =
  | { readonly ok: true; readonly value: NotifyValues[Ask] }
  | { readonly ok: false; readonly fault: NotifyFault };

const askCheck = Compile(NotifyAsk);

/** The ask in a message, or undefined. Untrusted: everything but the MAC, which was checked. */
export function parseNotifyAsk(body: string): NotifyAsk | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return askCheck.Check(value) ? value : undefined;
  } catch {
    return undefined; // not JSON
  }
}

/** The reply to an ask. It comes from the notifier over this process's own inbox. */
export function parseNotifyReply<Ask extends NotifyAsk['ask']>(body: string): NotifyReply<Ask> {
  return JSON.parse(body) as NotifyReply<Ask>;
}

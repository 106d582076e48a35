/** What a signed callback says: read only after its signature held, by a schema for each vendor. */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import type { DecisionStep } from '#contracts/held.ts';
import { ApprovalIdSchema, UUID7_PATTERN } from '#contracts/ids.ts';
import type { Posted } from '#host/posted.ts';

/** A person's answer as it came from their vendor. */
export interface Click {
  readonly step: Extract<DecisionStep, 'approve' | 'deny' | 'acknowledge'>;
  readonly approval: string;
  /** The vendor's id of the person. */
  readonly person: string;
  /** '' where the step takes none. */
  readonly nonce: string;
  readonly reason: string;
  /** Slack: where the message stands that was clicked. */
  readonly message?: string;
  /** Slack: where the person can be told something. */
  readonly answerTo?: string;
}

/** A callback that asks for nothing. */
export type Nothing = 'nothing';

const SlackPayload = Type.Object({
  type: Type.Literal('block_actions'),
  user: Type.Object({ id: Type.String({ pattern: '^[UW][A-Z0-9]{2,24}$' }) }),
  container: Type.Object({ message_ts: Type.String({ maxLength: 64 }) }),
  response_url: Type.Optional(Type.String({ maxLength: 2_048 })),
  actions: Type.Array(
    Type.Object({
      action_id: Type.String({ maxLength: 255 }),
      value: Type.Optional(Type.String({ maxLength: 2_000 })),
    }),
    { minItems: 1, maxItems: 1 },
  ),
});
const slackCheck = Compile(SlackPayload);
const VALUE = new RegExp(`^(${UUID7_PATTERN.replace(/^\^|\$$/g, '')})\\.([0-9a-f]{32})$`);

/** The click in a form of Slack, undefined where it is none. */
export function slackClick({ header, body }: Posted): Click | Nothing | undefined {
  if (!/^application\/x-www-form-urlencoded(;|$)/i.test(header('content-type'))) return undefined;
  const [field, ...more] = new URLSearchParams(body.toString('utf8'));
  if (field?.[0] !== 'payload' || more.length > 0) return undefined;
  const payload = read(slackCheck, field[1]);
  return payload === undefined ? undefined : buttonClick(payload);
}

function buttonClick(payload: Static<typeof SlackPayload>): Click | Nothing | undefined {
  const { user, container, response_url: answerTo, actions } = payload;
  const { action_id: step = '', value = '' } = actions[0] ?? {};
  if (step === 'open') return 'nothing';
  const [, approval = '', nonce = ''] = VALUE.exec(value) ?? [];
  if ((step !== 'approve' && step !== 'deny') || nonce === '') return undefined;
  const click: Click = { step, approval, nonce, person: user.id, reason: '' };
  return {
    ...click,
    message: container.message_ts,
    ...(answerTo === undefined ? {} : { answerTo }),
  };
}

const PagerDutyEvent = Type.Object({
  event: Type.Object({
    id: Type.String({ minLength: 1, maxLength: 128 }),
    event_type: Type.String({ maxLength: 128 }),
    occurred_at: Type.String({ maxLength: 64 }),
    agent: Type.Union([Type.Object({ id: Type.String({ maxLength: 128 }) }), Type.Null()]),
    data: Type.Object({ incident_key: Type.Optional(Type.Union([Type.String(), Type.Null()])) }),
  }),
});
const pagerdutyCheck = Compile(PagerDutyEvent);
const approvalCheck = Compile(ApprovalIdSchema);

/** The acknowledgement in an event of PagerDuty, with the event's id and time in seconds. */
export function pagerdutyClick({
  body,
}: Posted):
  | { readonly id: string; readonly at: number; readonly click: Click | Nothing }
  | undefined {
  const event = read(pagerdutyCheck, body.toString('utf8'))?.event;
  if (event === undefined) return undefined;
  const { incident_key: approval } = event.data;
  const found = { id: event.id, at: Date.parse(event.occurred_at) / 1_000 };
  if (event.event_type !== 'incident.acknowledged' || !approvalCheck.Check(approval))
    return { ...found, click: 'nothing' };
  const person = event.agent?.id ?? '';
  return { ...found, click: { step: 'acknowledge', approval, person, nonce: '', reason: '' } };
}

const WebhookAnswer = Type.Object(
  {
    type: Type.Literal('approval.decision'),
    approval_id: ApprovalIdSchema,
    step: Type.Unsafe<Click['step']>({ type: 'string', enum: ['approve', 'deny', 'acknowledge'] }),
    person: Type.String({ minLength: 1, maxLength: 128 }),
    /** From the message; not for `acknowledge`. */
    nonce: Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$' })),
    /** For `deny`: words that the agent may see. */
    reason: Type.Optional(Type.String({ maxLength: 1_000 })),
  },
  { additionalProperties: false },
);
const webhookCheck = Compile(WebhookAnswer);

/** The answer in a signed webhook, undefined where it is none. */
export function webhookClick({ header, body }: Posted): Click | undefined {
  if (!/^application\/json(;|$)/i.test(header('content-type'))) return undefined;
  const answer = read(webhookCheck, body.toString('utf8'));
  if (answer === undefined) return undefined;
  const { approval_id: approval, step, person, nonce = '', reason = '' } = answer;
  return { step, approval, person, nonce, reason };
}

function read<T>(
  check: { readonly Check: (value: unknown) => value is T },
  text: string,
): T | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return check.Check(value) ? value : undefined;
  } catch {
    return undefined; // not JSON
  }
}

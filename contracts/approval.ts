/**
 * A held call and what becomes of it: its states, its events on APPROVALS, and the entry in bucket `approvals` by which
 * worker and ingress know it without any database. One approval is for one exact call.
 */
import { createHmac } from 'node:crypto';

import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';

import { GrantCover, GrantTerms } from './approval-grant.ts';
import { ToolName, UpstreamName } from './call.ts';
import { ThingId } from './control.ts';
import { ApprovalIdSchema, DecisionIdSchema, TenantIdSchema, type TenantId } from './ids.ts';
import { asJson, canonical } from './json.ts';
import { checkMac, type MacFault, macHeader, type MacKeys } from './mac.ts';
import type { ApprovalRequest } from './policy.ts';
import { type ApprovalEvent } from './subjects.ts';

const closed = { additionalProperties: false } as const;
const text = (max: number) => Type.String({ maxLength: max });
/** Milliseconds UTC. */
const Instant = Type.Integer({ minimum: 0 });

/** How long a call waits, and its approval is good, where the policy says nothing. */
export const APPROVAL_TTL_S = 3_600;

/**
 * pending: people are asked. approved: it may run, as often as it has uses. All others are ends of their own, and only
 * `denied` is a person's no: `edited` is a person's other call in its place, `expired` is silence, `no_channel` says that nobody who may approve it is there or could be reached,
 * `cancelled` that it was withdrawn or stopped, `superseded` that the policy it was held under is not active any more.
 */
export const APPROVAL_STATES = [
  'pending',
  'approved',
  'denied',
  'edited',
  'expired',
  'cancelled',
  'superseded',
  'no_channel',
] as const;
export const ApprovalState = Type.Unsafe<(typeof APPROVAL_STATES)[number]>({
  type: 'string',
  enum: [...APPROVAL_STATES],
});
export type ApprovalState = Static<typeof ApprovalState>;

export const Risk = Type.Unsafe<NonNullable<ApprovalRequest['risk']>>({
  type: 'string',
  enum: ['low', 'medium', 'high', 'critical'],
});
export type Risk = Static<typeof Risk>;

/** Where a step came in. */
export const Surface = Type.Unsafe<
  'api' | 'page' | 'slack' | 'teams' | 'pagerduty' | 'webhook' | 'agent' | 'system'
>({
  type: 'string',
  enum: ['api', 'page', 'slack', 'teams', 'pagerduty', 'webhook', 'agent', 'system'],
});
export type Surface = Static<typeof Surface>;

/** People who have to agree, one stage after the other. */
export const Stage = Type.Object(
  {
    name: text(64),
    /** Ids of operators; empty = whoever has the role approver in this tenant. */
    approvers: Type.Array(ThingId, { maxItems: 64 }),
    /** How many different persons. */
    quorum: Type.Integer({ minimum: 1, maximum: 10 }),
  },
  closed,
);
export type Stage = Static<typeof Stage>;

/** Whom to tell, and when: after `after_s` seconds without an end or an acknowledgement. */
export const Tier = Type.Object(
  {
    name: text(64),
    after_s: Type.Integer({ minimum: 0, maximum: 604_800 }),
    /** Names of channels that the notifier knows; empty = its default for the risk. */
    channels: Type.Array(ThingId, { maxItems: 16 }),
    /** 0 = no reminders. */
    remind_s: Type.Integer({ minimum: 0, maximum: 604_800 }),
  },
  closed,
);
export type Tier = Static<typeof Tier>;

/** Who decides a held call and whom to tell; fixed when it is held, so that a later route changes nothing of it. */
export const Plan = Type.Object(
  {
    route: text(64),
    stages: Type.Array(Stage, { minItems: 1, maxItems: 8 }),
    tiers: Type.Array(Tier, { minItems: 1, maxItems: 8 }),
    /** Longest age of the approver's second factor in seconds; 0 = none is asked for. */
    step_up_s: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export type Plan = Static<typeof Plan>;

/** What a message about a held call says. Untrusted: `tool` to `person` and parts of `effect` are an agent's words. */
export const ApprovalSummary = Type.Object(
  {
    approval_id: ApprovalIdSchema,
    tenant: TenantIdSchema,
    tool: Type.Union([ToolName, text(128)]),
    upstream: Type.Union([UpstreamName, Type.Literal('')]),
    agent: text(256),
    agent_class: text(64),
    /** Whom the agent acts for, '' for nobody. */
    person: text(256),
    /** In the words of the policy, '' where it has none. */
    effect: text(1_000),
    risk: Risk,
    policy_reason: text(64),
    labels: Type.Array(text(64)),
    held_at: Instant,
    expires_at: Instant,
  },
  closed,
);
export type ApprovalSummary = Static<typeof ApprovalSummary>;

/** One person's yes. */
export const Vote = Type.Object(
  { by: ThingId, stage: Type.Integer(), at: Instant, via: Surface },
  closed,
);
export type Vote = Static<typeof Vote>;

/** An earlier held call that a person changed into this one, and who: they count as one who asked for it. */
export const EditOf = Type.Object(
  { approval_id: ApprovalIdSchema, by: ThingId, at: Instant },
  closed,
);
export type EditOf = Static<typeof EditOf>;

/** A grant as it is shown: its terms, and the held call with whose approval it was given. */
export const GrantShown = Type.Object({ ...GrantTerms.properties, of: ApprovalIdSchema }, closed);
export type GrantShown = Static<typeof GrantShown>;

/** Section `value` of every event's payload: enough for a message about it. */
export const ApprovalEventValue = Type.Object(
  {
    /** The tier that is told now: of `reached` and `reminded`, else null. */
    tier: Type.Union([
      Type.Object({ index: Type.Integer(), ...Tier.properties }, closed),
      Type.Null(),
    ]),
    /** Yes-votes of the stage that is being decided, and how many it takes. */
    progress: Type.Object(
      { stage: text(64), votes: Type.Integer(), needed: Type.Integer() },
      closed,
    ),
    /** Of `denied` and `edited`: for the agent. Of other ends: why. */
    reason: text(1_000),
    /** Of `edited`: canonical JSON of the arguments in place of the held ones. */
    edit: Type.Optional(Type.String()),
    /** Of `held`: the calls that were changed into this one. */
    edit_of: Type.Optional(Type.Array(EditOf)),
    /** Of `granted`, and of `voted` and `approved` where a grant is part of it. */
    grant: Type.Optional(GrantShown),
    /** Name of the route by which it is decided. */
    route: Type.Optional(text(64)),
    summary: ApprovalSummary,
    /** Of `used`: the decision that used it, and which of its uses that was. */
    use: Type.Union([
      Type.Object({ decision_id: DecisionIdSchema, k: Type.Integer({ minimum: 1 }) }, closed),
      Type.Null(),
    ]),
  },
  closed,
);
export type ApprovalEventValue = Static<typeof ApprovalEventValue>;

/** The leaf of an event of APPROVALS; properties in ascending order. Operators act by name. */
export const ApprovalLeaf = Type.Object(
  {
    approval_id: ApprovalIdSchema,
    at: Instant,
    /** Id of an operator, `agent` for the agent itself, `system:approval-escalation`. */
    by: Type.String(),
    commitments: Type.Record(Type.String(), Type.String()),
    /** The decision that held the call. */
    decision_id: DecisionIdSchema,
    id: Type.String(),
    kind: Type.Unsafe<`approval.${ApprovalEvent}`>({
      type: 'string',
      pattern: '^approval\\.[a-z_]+$',
    }),
    state: ApprovalState,
    /** Gapless from 1 for each approval. */
    step: Type.Integer({ minimum: 1 }),
    tenant: TenantIdSchema,
    v: Type.Literal(1),
    via: Surface,
  },
  closed,
);
export type ApprovalLeaf = Static<typeof ApprovalLeaf>;

/** What worker and ingress know of an approval. */
export const ApprovalEntry = Type.Object(
  {
    approval_id: ApprovalIdSchema,
    /** The decision that used it last, '' for none. */
    decision_id: Type.Union([DecisionIdSchema, Type.Literal('')]),
    /** What is known of that use: an outcome's status, '' while nothing is. */
    effect: text(32),
    expires_at: Instant,
    /** Of a grant: which calls it covers. */
    grant: Type.Optional(GrantCover),
    /** A person's words for the agent, '' for none. */
    note: text(1_000),
    /** Order of approvals of one call; with `step` it says which of two entries is newer. */
    position: Type.Integer(),
    /** Digest of tenant, agent and person. */
    principal: Type.String(),
    state: ApprovalState,
    step: Type.Integer(),
    used: Type.Integer(),
    uses: Type.Integer(),
  },
  closed,
);
export type ApprovalEntry = Static<typeof ApprovalEntry>;

/** Keys of bucket `approvals`. The same entry stands under the call and under each id that its holds were given. */
export const APPROVAL_KEYS = {
  call: (tenant: TenantId, binding: string) => `call.${tenant}.${binding}`,
  id: (tenant: TenantId, id: string) => `id.${tenant}.${id}`,
  /** Core subject on which every write of an entry by id can be heard; a hint to look, never the truth. */
  idSubject: (tenant: TenantId, id: string) => `$KV.approvals.id.${tenant}.${id}`,
  idSubjects: '$KV.approvals.id.>',
} as const;

/** The writer of entries, whose key also makes bindings. */
export const APPROVAL_WRITER = 'approval-escalation';
const entryCheck = Compile(ApprovalEntry);

/** Text of an entry under a key: its MAC, LF, canonical JSON. */
export function sealEntry(key: Uint8Array, place: string, entry: ApprovalEntry): string {
  const body = canonical(asJson(entry));
  return `${macHeader(APPROVAL_WRITER, key, { subject: subjectOf(place), body })}\n${body}`;
}

/** The entry under a key, or why it counts as none. Untrusted: everything, until the MAC proves it. */
export function openEntry(
  keys: MacKeys,
  place: string,
  sealed: string,
): ApprovalEntry | MacFault | 'malformed' {
  const at = sealed.indexOf('\n');
  const body = sealed.slice(at + 1);
  const checked = checkMac(keys, {
    subject: subjectOf(place),
    body,
    header: sealed.slice(0, Math.max(at, 0)),
  });
  if ('fault' in checked) return checked.fault;
  const entry: unknown = JSON.parse(body); // our own bytes: the MAC holds
  return entryCheck.Check(entry) ? entry : 'malformed';
}

/** The entry in a sealed text, unproved: enough to tell its agent a state, never to release anything. */
export function peekEntry(sealed: string): ApprovalEntry | undefined {
  try {
    const entry: unknown = JSON.parse(sealed.slice(sealed.indexOf('\n') + 1));
    return entryCheck.Check(entry) ? entry : undefined;
  } catch {
    return undefined; // not JSON
  }
}

const subjectOf = (place: string) => `$KV.approvals.${place}`;

/** What an approval is bound to: change any of it and it is another call. */
export interface Bound {
  /** contracts/call-hash.ts: tenant, upstream, tool, its definition, arguments. */
  readonly callHash: string;
  /** Canonical JSON of the principal in the policy input: agent, its class, person, workflow, whole chain of actors. */
  readonly principal: string;
  /** Digests of the policies that held it, floor first. */
  readonly policies: readonly string[];
  /** What the policy asks of people: another risk, route, quorum or effect is another question. */
  readonly asked: ApprovalRequest;
}

/** Name of a binding: nobody without the key can tell which call it is, or find one. 40 hex digits. */
export function bindingOf(
  key: Uint8Array,
  { callHash, principal, policies, asked }: Bound,
): string {
  const { risk, route, quorum, effect } = asked;
  const parts = [callHash, principal, policies, risk ?? '', route ?? '', quorum ?? 0, effect ?? ''];
  return createHmac('sha256', key)
    .update(`approval binding 1\n${JSON.stringify(parts)}`)
    .digest('hex')
    .slice(0, 40);
}

/** What an agent is told of its held call. */
export type HeldAs = ApprovalState | 'used';

/** wait: ask again later. repeat: send exactly this call again. stop: it will not run as it is. */
export type NextStep = 'wait' | 'repeat' | 'stop';

/** Words for the agent in each state. They name what helps, and never promise that an ended call may still run. */
export const HELD_WORDS: Readonly<
  Record<HeldAs, { readonly next: NextStep; readonly text: string }>
> = {
  pending: {
    next: 'wait',
    text: 'A person has to approve this call. It has not run. Wait, or do something else meanwhile; do not look for another way to the same effect.',
  },
  approved: {
    next: 'repeat',
    text: 'A person approved this call. It has not run yet: send exactly this call again, once.',
  },
  used: {
    next: 'stop',
    text: 'This call was approved and has been released. It will not be released again under this approval.',
  },
  denied: {
    next: 'stop',
    text: 'A person declined this call. It did not run. Do not repeat it and do not look for another way to the same effect.',
  },
  edited: {
    next: 'stop',
    text: 'A person changed the arguments of this call. It did not run as it was. If you still want it, send the tool with exactly the changed arguments: that call is judged anew, and another person approves it.',
  },
  expired: {
    next: 'repeat',
    text: 'Its time is over: nobody answered, or it was not sent again in time, which is not a no. The call did not run. Send it again to ask again.',
  },
  cancelled: {
    next: 'stop',
    text: 'The request for approval was withdrawn. The call did not run. Send it again only if it is still wanted.',
  },
  superseded: {
    next: 'repeat',
    text: 'The rules changed while this call waited. It did not run. Send it again: it is judged anew.',
  },
  no_channel: {
    next: 'stop',
    text: 'Nobody who may approve this call is there, or could be reached. It did not run. Tell the person you work for; an operator has to set this up.',
  },
};

/** State of an approval at a time, for whoever would use it: a spent one is `used`, one past its time `expired` before anybody noted it. */
export function heldAs(
  entry: Pick<ApprovalEntry, 'state' | 'used' | 'uses' | 'expires_at'>,
  at: number,
): HeldAs {
  if (entry.state === 'approved' && entry.used >= entry.uses) return 'used';
  const open = entry.state === 'approved' || entry.state === 'pending';
  return open && at >= entry.expires_at ? 'expired' : entry.state;
}

/** The same for whoever is told of its call: one that was released stays so, whatever ends the approval after that. */
export function toldAs(entry: Parameters<typeof heldAs>[0], at: number): HeldAs {
  return entry.used >= entry.uses ? 'used' : heldAs(entry, at);
}

const leafCheck = Compile(ApprovalLeaf);
const payloadCheck = Compile(
  Type.Object({
    salts: Type.Record(Type.String(), Type.String()),
    sections: Type.Object({ value: ApprovalEventValue }, closed),
    v: Type.Literal(1),
  }),
);

/** One event of APPROVALS as its readers get it. The writer's MAC MUST have been checked before. */
export function readApprovalEvent(record: {
  readonly leaf: string;
  readonly payload: string;
}): { readonly leaf: ApprovalLeaf; readonly value: ApprovalEventValue } | undefined {
  try {
    const leaf: unknown = JSON.parse(record.leaf);
    const payload: unknown = JSON.parse(record.payload);
    if (!leafCheck.Check(leaf) || !payloadCheck.Check(payload)) return undefined;
    return { leaf, value: payload.sections.value };
  } catch {
    return undefined; // not JSON
  }
}

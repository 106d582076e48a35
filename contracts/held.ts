/**
 * What other processes ask of, and tell, approval-escalation: request and reply on `v1.held.<tenant>`, each request
 * with the MAC of its sender. Every surface on which a person decides ends in one of these requests (`decide`).
 */
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';

import { GrantTerms } from './approval-grant.ts';
import {
  ApprovalState,
  ApprovalSummary,
  EditOf,
  GrantShown,
  Plan,
  Risk,
  Surface,
  Tier,
  Vote,
} from './approval.ts';
import { ThingId } from './control.ts';
import { ApprovalIdSchema, DecisionIdSchema } from './ids.ts';

const closed = { additionalProperties: false } as const;
const text = (max: number) => Type.String({ maxLength: max });
const Instant = Type.Integer({ minimum: 0 });

/** A request that is older, or from further ahead, is refused. */
export const HELD_ASK_AGE_MS = 30_000;
export const HELD_PAGE_MAX = 200;
/** Longest JSON text of changed arguments. */
export const EDIT_CHARS_MAX = 65_536;

/** The person who decides, as the surface authenticated them. */
export const Decider = Type.Object(
  {
    id: ThingId,
    /** Milliseconds UTC of the last second factor in this session; 0 = none. */
    stepped_up_at: Instant,
  },
  closed,
);
export type Decider = Static<typeof Decider>;

/**
 * approve, deny and edit: a person decides. cancel: an operator withdraws it. revoke: somebody ends a grant.
 * acknowledge: somebody looks at it, so paging stops.
 */
const STEPS = ['approve', 'deny', 'edit', 'cancel', 'revoke', 'acknowledge'] as const;
export const DecisionStep = Type.Unsafe<(typeof STEPS)[number]>({
  type: 'string',
  enum: [...STEPS],
});
export type DecisionStep = Static<typeof DecisionStep>;

const head = { v: Type.Literal(1), at: Instant };
const approval = ApprovalIdSchema;

export const HeldAsk = Type.Union([
  Type.Object(
    {
      ...head,
      ask: Type.Literal('list'),
      /** '' = all. */
      state: Type.Union([ApprovalState, Type.Literal('')]),
      limit: Type.Integer({ minimum: 1, maximum: HELD_PAGE_MAX }),
      /** `position` of the last one seen; 0 = from the newest. */
      before: Type.Integer({ minimum: 0 }),
    },
    closed,
  ),
  /** Grants that hold, newest first, at most HELD_PAGE_MAX. */
  Type.Object({ ...head, ask: Type.Literal('grants') }, closed),
  Type.Object({ ...head, ask: Type.Literal('show'), approval }, closed),
  Type.Object(
    {
      ...head,
      ask: Type.Literal('decide'),
      approval,
      step: DecisionStep,
      by: Decider,
      via: Surface,
      /** For approve and edit: `shown` of the preview that the person saw. */
      shown: text(128),
      /** For deny and edit: words that the agent may see. For cancel and revoke: why. */
      reason: text(1_000),
      /** For edit: JSON text of the arguments in place of the held ones. */
      arguments: Type.Optional(text(EDIT_CHARS_MAX)),
      /** For approve: and repeats of it within these terms. */
      grant: Type.Optional(GrantTerms),
    },
    closed,
  ),
  /** The ingress: the call that waits, for the agent that comes back for it. */
  Type.Object({ ...head, ask: Type.Literal('call'), approval, principal: text(64) }, closed),
  /** The ingress: what of this principal's calls waits, newest first. */
  Type.Object({ ...head, ask: Type.Literal('mine'), principal: text(64) }, closed),
  /** Who would decide such a call. */
  Type.Object(
    {
      ...head,
      ask: Type.Literal('plan'),
      tool: text(128),
      /** JSON text. */
      arguments: text(EDIT_CHARS_MAX),
      risk: Risk,
      route: Type.Optional(text(64)),
      quorum: Type.Optional(Type.Integer({ minimum: 1, maximum: 10 })),
      /** Whom the agent would act for. */
      person: Type.Optional(text(256)),
    },
    closed,
  ),
  /** The notifier: every channel of every tier that was asked is dead. */
  Type.Object({ ...head, ask: Type.Literal('unreached'), approval }, closed),
  /** The ingress: the agent does not want it any more. */
  Type.Object({ ...head, ask: Type.Literal('withdraw'), approval, principal: text(64) }, closed),
]);
export type HeldAsk = Static<typeof HeldAsk>;

/** Which process may ask what; anything else is refused, whatever its MAC. */
export const HELD_ASKERS: Readonly<Record<HeldAsk['ask'], readonly string[]>> = {
  list: ['admin', 'notifier'],
  grants: ['admin'],
  show: ['admin', 'notifier'],
  decide: ['admin', 'notifier'],
  call: ['ingress'],
  mine: ['ingress'],
  plan: ['admin'],
  unreached: ['notifier'],
  withdraw: ['ingress'],
};

/** One line of a list. */
export const ApprovalItem = Type.Object({
  ...ApprovalSummary.properties,
  state: ApprovalState,
  step: Type.Integer(),
  position: Type.Integer({ description: 'For the next page.' }),
  uses: Type.Integer(),
  used: Type.Integer(),
  plan: Plan,
  votes: Type.Array(Vote),
  /** Who looks at it, '' for nobody. */
  acknowledged_by: Type.String(),
  /** Who or what ended it, '' while it is open. */
  ended_by: Type.String(),
  reason: Type.String(),
  /** Left out where none is part of it. A grant is its own item; `of` names the call that it was given with. */
  grant: Type.Optional(GrantShown),
});
export type ApprovalItem = Static<typeof ApprovalItem>;

/** An earlier call of the same session, or of the same agent where the call has none. */
export const EarlierCall = Type.Object({
  decision_id: DecisionIdSchema,
  at: Instant,
  tool: Type.String(),
  upstream: Type.String(),
  verdict: Type.String(),
  reason: Type.String(),
  labels: Type.Array(Type.String()),
});
export type EarlierCall = Static<typeof EarlierCall>;

/** Everything that a person needs to judge a held call. */
export const ApprovalPreview = Type.Object({
  ...ApprovalItem.properties,
  decision_id: DecisionIdSchema,
  arguments: Type.String({
    description: 'Canonical JSON: the very bytes that were judged and will run. Untrusted.',
  }),
  edited: Type.Optional(
    Type.String({
      description: 'Canonical JSON of the arguments that a person put in their place.',
    }),
  ),
  edit_of: Type.Array(EditOf, {
    description: 'Held calls that a person changed into this one; who did counts as a requester.',
  }),
  definition_hash: Type.String(),
  held_because: Type.Object({
    reason: Type.String(),
    policy_reason: Type.String(),
    message: Type.String({ description: "The policy's words for the caller." }),
  }),
  policies: Type.Array(Type.Object({ role: Type.String(), digest: Type.String() })),
  purpose: Type.String({ description: 'As the agent or its issuer declared it. Untrusted.' }),
  declared_by: Type.String(),
  actors: Type.Array(Type.String()),
  workflow: Type.String(),
  session: Type.String(),
  task: Type.String(),
  earlier: Type.Array(EarlierCall, { description: 'Newest first, at most 20.' }),
  asked: Type.Array(
    Type.Object({ tier: Type.String(), channels: Type.Array(Type.String()), at: Instant }),
  ),
  releases: Type.Array(
    Type.Object({
      decision_id: DecisionIdSchema,
      at: Instant,
      effect: Type.String({ description: "The outcome's status; empty while it is unknown." }),
    }),
    { description: 'Its uses, in their order.' },
  ),
  requesters: Type.Array(Type.String(), {
    description: 'Operators who asked for it: they cannot approve it.',
  }),
  missing: Type.Array(Type.String(), {
    description: 'What could not be shown. Not empty: nothing can be approved.',
  }),
  shown: Type.String({
    description:
      'Digest of this preview; an approval names it. Empty while the preview is incomplete.',
  }),
});
export type ApprovalPreview = Static<typeof ApprovalPreview>;

/** How a step ended that changed something, or that had changed it before. */
export const DecisionAnswer = Type.Object({
  approval_id: ApprovalIdSchema,
  state: ApprovalState,
  stage: Type.String(),
  votes: Type.Integer(),
  needed: Type.Integer(),
});
export type DecisionAnswer = Static<typeof DecisionAnswer>;

/** Who would decide a call, and whom to tell. No stages: nobody, and it would end at once as `no_channel`. */
export const HeldPlan = Type.Object({
  route: Type.String(),
  stages: Type.Array(
    Type.Object({
      name: Type.String(),
      quorum: Type.Integer(),
      people: Type.Array(ThingId, { description: 'Operators who could say yes now.' }),
    }),
  ),
  tiers: Type.Array(Tier),
  step_up_s: Type.Integer(),
});

/** The held call itself. */
export const HeldCall = Type.Object({
  tool: Type.String(),
  upstream: Type.String(),
  arguments: Type.String(),
  session_id: Type.String(),
  task_id: Type.String(),
  /** What a person put in the place of the arguments. */
  edited: Type.Optional(Type.String()),
});
export type HeldCall = Static<typeof HeldCall>;

/** A call that waits, as its own principal sees it. */
export const WaitingCall = Type.Object({
  approval_id: ApprovalIdSchema,
  tool: Type.String(),
  upstream: Type.String(),
  state: Type.Unsafe<'pending' | 'approved'>({ type: 'string', enum: ['pending', 'approved'] }),
  held_at: Instant,
  expires_at: Instant,
});
export type WaitingCall = Static<typeof WaitingCall>;

/** More are not told. */
export const WAITING_CALLS_MAX = 50;

/**
 * not_found: there is none, or not for this principal. ended: it is not pending any more. not_approver: no operator
 * with the role, not of this tenant, or not of this stage. self: asked for it. voted: gave their vote already.
 * impossible: arguments or a grant that cannot be; the detail says why. incomplete: the preview is incomplete, or is not what the person saw. step_up: their second factor is too old.
 * unavailable: nothing happened; again later.
 */
export const HELD_FAULTS = [
  'not_found',
  'ended',
  'not_approver',
  'self',
  'voted',
  'incomplete',
  'step_up',
  'impossible',
  'malformed',
  'unavailable',
] as const;
export type HeldFault = (typeof HELD_FAULTS)[number];

/** Value of the answer to each ask. */
export interface HeldValues {
  readonly list: { readonly items: ApprovalItem[]; readonly more: boolean };
  readonly grants: { readonly items: ApprovalItem[] };
  readonly show: ApprovalPreview;
  readonly decide: DecisionAnswer;
  readonly call: HeldCall;
  readonly mine: readonly WaitingCall[];
  readonly plan: Static<typeof HeldPlan>;
  readonly unreached: Pick<DecisionAnswer, 'state'>;
  readonly withdraw: DecisionAnswer;
}

export type HeldReply<Ask extends HeldAsk['ask'] = HeldAsk['ask']> =
  | { readonly ok: true; readonly value: HeldValues[Ask] }
  | { readonly ok: false; readonly fault: HeldFault; readonly detail: string };

const askCheck = Compile(HeldAsk);

/** The ask in a message, or undefined. Untrusted: everything but the MAC, which was checked. */
export function parseHeldAsk(body: string): HeldAsk | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return askCheck.Check(value) ? value : undefined;
  } catch {
    return undefined; // not JSON
  }
}

/** The reply to an ask. It comes from approval-escalation over this process's own inbox. */
export function parseHeldReply<Ask extends HeldAsk['ask']>(body: string): HeldReply<Ask> {
  return JSON.parse(body) as HeldReply<Ask>;
}

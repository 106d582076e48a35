/** The leaf of a decision record: what the chain keeps for ever. Nothing in it names a person or holds content. */
import { Type, type Static } from 'typebox';

import { BudgetShare, type Draw } from './budget.ts';
import { Ask, type CallEnvelope, Durability, Verdict, Via } from './call.ts';
import { ApprovalIdSchema, DecisionIdSchema, TenantIdSchema } from './ids.ts';
import type { Check, Reason } from './reasons.ts';

/** Which policy took part, in which role. */
export const PolicyUse = Type.Object({
  role: Type.Union([Type.Literal('floor'), Type.Literal('tenant')]),
  engine: Type.Literal('rego'),
  digest: Type.String(),
});
export type PolicyUse = Static<typeof PolicyUse>;

/**
 * Properties stand in ascending order, so that JSON.stringify of a value built in this order is RFC 8785 canonical
 * (a test holds the worker to it). Empty string or list = not known at the point where the decision ended.
 */
export const DecisionLeaf = Type.Object(
  {
    agent: Type.String(),
    agent_class: Type.String(),
    approval_id: Type.Union([ApprovalIdSchema, Type.Literal('')]),
    ask: Ask,
    /** Milliseconds UTC: the one time of this decision. */
    at: Type.Integer(),
    budget: Type.Array(BudgetShare),
    capability: Type.Object({
      id: Type.String(),
      /** standing = the registered agent's own grant. compat = a token of an imported key, not minted here. */
      kind: Type.Union([
        Type.Literal('token'),
        Type.Literal('compat'),
        Type.Literal('standing'),
        Type.Literal('none'),
      ]),
      root: Type.String(),
    }),
    /** Salted commitments: arguments, call, evidence, input. */
    commitments: Type.Record(Type.String(), Type.String()),
    /** Micro-units, as the policy priced the call. */
    cost: Type.Integer(),
    durability: Durability,
    /** Id of the exception without which it would have come to `verdict_before_mode`. */
    exception: Type.Optional(Type.String()),
    facts_revision: Type.String(),
    forwards: Type.Boolean(),
    /** The grant under which it is released; `resumes` is the same. Absent where people approved exactly this call. */
    grant: Type.Optional(ApprovalIdSchema),
    id: DecisionIdSchema,
    kind: Type.Literal('decision'),
    labels: Type.Array(Type.String()),
    /** Rollout mode that it was judged in: its class's, or enforce for the canary share. */
    mode: Type.String(),
    obligations: Type.Array(Type.String()),
    /** Pseudonym of the person; equal persons of one tenant have equal pseudonyms. */
    person: Type.String(),
    policies: Type.Array(PolicyUse),
    policy_reason: Type.String(),
    policy_revision: Type.String(),
    reason: Type.String(),
    /** Public key that the receipt of this decision is signed with, base64url; empty = there is no receipt. */
    receipt_key: Type.String(),
    /** The held call that this one resumes. */
    resumes: Type.Union([ApprovalIdSchema, Type.Literal('')]),
    session: Type.String(),
    task: Type.String(),
    tenant: TenantIdSchema,
    tool: Type.String(),
    trace_id: Type.String(),
    upstream: Type.String(),
    v: Type.Literal(1),
    verdict: Verdict,
    verdict_before_mode: Verdict,
    via: Via,
    worker: Type.String(),
    workflow: Type.String(),
  },
  { additionalProperties: false },
);
export type DecisionLeaf = Static<typeof DecisionLeaf>;

/**
 * Section `evidence` of a decision's payload: how each check ended, and what it went by. `detail` is for the operator
 * and never leaves the house towards an agent. Section `input` is the exact policy input.
 */
export interface DecisionEvidence {
  readonly call_id: string;
  readonly checks: readonly CheckEvidence[];
  readonly client: CallEnvelope['client'];
  readonly definition_hash: string;
  readonly detail: string;
  /** What it took from budget counters (budget.ts); absent where it took nothing. */
  readonly draws?: readonly Draw[];
  readonly identity: {
    /** Claim `act` whole as canonical JSON text; absent where it says no more than the actors of the input. */
    readonly act?: string;
    readonly expires_at: number;
    readonly issuer: string;
    /** Thumbprints of the keys that the sender proved to hold; absent where it proved none. */
    readonly sender?: { readonly jkt: string; readonly 'x5t#S256': string };
    readonly token: string;
  };
  /** Refusals that did not stand, in order, and what lifted each: a mode, or `exception:<id>`. */
  readonly lifted?: readonly { readonly by: string; readonly reason: Reason }[];
  /** The policy's own words for the caller. */
  readonly message: string;
  /** What floor and tenant policy returned, null where one was not asked. */
  readonly output: { readonly floor: unknown; readonly tenant: unknown };
  readonly person: string;
}

/** How one check ended; properties in ascending order. */
export interface CheckEvidence {
  readonly check: Check;
  readonly micros: number;
  readonly ok: boolean;
  readonly reason: Reason | '';
}

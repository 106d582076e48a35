/** The leaf of a decision record: what the chain keeps for ever. Nothing in it names a person or holds content. */
import { Type, type Static } from 'typebox';

import { Ask, BudgetShare, Durability, Verdict, Via } from './call.ts';
import { ApprovalIdSchema, DecisionIdSchema, TenantIdSchema } from './ids.ts';

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
      /** standing = the registered agent's own grant. */
      kind: Type.Union([Type.Literal('token'), Type.Literal('standing'), Type.Literal('none')]),
      root: Type.String(),
    }),
    /** Salted commitments: arguments, call, evidence, input. */
    commitments: Type.Record(Type.String(), Type.String()),
    durability: Durability,
    facts_revision: Type.String(),
    forwards: Type.Boolean(),
    id: DecisionIdSchema,
    kind: Type.Literal('decision'),
    /** Rollout mode of the agent's class when it was judged. */
    mode: Type.String(),
    obligations: Type.Array(Type.String()),
    /** Pseudonym of the person; equal persons of one tenant have equal pseudonyms. */
    person: Type.String(),
    policies: Type.Array(PolicyUse),
    policy_reason: Type.String(),
    policy_revision: Type.String(),
    reason: Type.String(),
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
 * Section `evidence` of a decision's payload: how each check ended. `detail` is for the operator and never leaves the
 * house towards an agent.
 */
export interface DecisionEvidence {
  readonly checks: readonly {
    readonly check: string;
    readonly ok: boolean;
    readonly micros: number;
    readonly found: unknown;
  }[];
  readonly client: unknown;
  readonly call_id: string;
  readonly definition_hash: string;
  readonly detail: string;
  readonly message: string;
  readonly output: unknown;
  readonly person: string;
}

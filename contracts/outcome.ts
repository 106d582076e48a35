/** What became of an allowed call, reported by whoever enforced the answer. */
import { Type, type Static } from 'typebox';

import { DecisionIdSchema, TenantIdSchema } from './ids.ts';

/**
 * executed: the tool ran. failed: it ran and failed. refused_late: the enforcement point refused it after all
 * (late answer, obligation not met, caller gone or upstream not to be reached before it was sent). unknown: nobody knows whether it ran.
 * aborted: a kill switch cut it off on its way; nobody knows whether it ran.
 * delivered: the answer reached an asker that reports nothing itself; no record says so, see `endOf`.
 */
export const OutcomeStatus = Type.Union([
  Type.Literal('executed'),
  Type.Literal('failed'),
  Type.Literal('refused_late'),
  Type.Literal('unknown'),
  Type.Literal('aborted'),
  Type.Literal('delivered'),
]);
export type OutcomeStatus = Static<typeof OutcomeStatus>;

/** Properties in ascending order: see decision.ts. */
export const OutcomeLeaf = Type.Object(
  {
    at: Type.Integer(),
    /** Salted commitment: detail. */
    commitments: Type.Record(Type.String(), Type.String()),
    decision_id: DecisionIdSchema,
    id: Type.String(),
    kind: Type.Literal('outcome'),
    late: Type.Boolean(),
    /** ingress: it forwarded the call itself; caller: the enforcement point that asked; chainer: nobody did. */
    reported_by: Type.Union([
      Type.Literal('ingress'),
      Type.Literal('caller'),
      Type.Literal('chainer'),
    ]),
    status: OutcomeStatus,
    tenant: TenantIdSchema,
    v: Type.Literal(1),
  },
  { additionalProperties: false },
);
export type OutcomeLeaf = Static<typeof OutcomeLeaf>;

/**
 * How an allow has ended, empty while that is open. An answer that is only asked for gets no record of its own: without
 * a report it was delivered, and whoever asked may still report for a day. What is forwarded always ends on record.
 * @param reported status of the outcome that is recorded, if there is one
 */
export function endOf(
  decision: { readonly verdict: string; readonly forwards: boolean },
  reported: OutcomeStatus | undefined,
): OutcomeStatus | '' {
  if (reported !== undefined) return reported;
  return decision.verdict === 'allow' && !decision.forwards ? 'delivered' : '';
}

/**
 * The outcome that counts of those that are recorded about one decision: a report, else that nobody has reported one
 * (the chainer says so five minutes after a forwarded allow; a report may still come).
 */
export function outcomeThatCounts<Outcome>(
  outcomes: readonly Outcome[],
  reportedBy: (outcome: Outcome) => unknown,
): Outcome | undefined {
  return outcomes.find((outcome) => reportedBy(outcome) !== 'chainer') ?? outcomes[0];
}

/** Body of POST /v1/decisions/{id}/outcome. */
export const OutcomeReport = Type.Object(
  {
    ref: Type.String({ minLength: 1, maxLength: 512 }),
    status: Type.Union([
      Type.Literal('executed'),
      Type.Literal('failed'),
      Type.Literal('refused_late'),
      Type.Literal('unknown'),
    ]),
    result: Type.Optional(Type.Unknown({ description: 'Kept in the payload, at most 64 KiB.' })),
    error: Type.Optional(Type.String({ maxLength: 4_000 })),
  },
  { additionalProperties: false },
);
export type OutcomeReport = Static<typeof OutcomeReport>;

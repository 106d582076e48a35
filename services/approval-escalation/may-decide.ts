/** Whether a person may take a step now: asked of the operators as they are at this moment, on every surface alike. */
import type { ApprovalState, Plan } from '#contracts/approval.ts';
import type { Operator, Role } from '#contracts/control.ts';
import type { Decider, DecisionStep, HeldFault } from '#contracts/held.ts';
import type { TenantId } from '#contracts/ids.ts';

import type { Progress } from './reduce.ts';

/** Whose call it is, as its issuer and its chain of actors say. */
export interface Requester {
  readonly issuer: string;
  /** The person whom the agent acts for, '' for nobody, and every actor of the chain. */
  readonly subjects: readonly string[];
}

const ROLES: Readonly<Record<DecisionStep, readonly Role[]>> = {
  approve: ['approver', 'admin'],
  deny: ['approver', 'admin'],
  acknowledge: ['approver', 'operator', 'admin'],
  cancel: ['operator', 'admin'],
};

/** True for an operator of this tenant with the role for the step. */
export const hasRoleFor = (
  { roles, tenants = [] }: Operator,
  step: DecisionStep,
  tenant: TenantId,
): boolean =>
  roles.some((role) => ROLES[step].includes(role)) &&
  (tenants.length === 0 || tenants.includes(tenant));

/** True when the operator is the person behind the call, by a linked identity or by having the very same name. */
export function asksForItself(
  { id, identities = [] }: Operator,
  { issuer, subjects }: Requester,
): boolean {
  const named = subjects.some((subject) => subject.toLowerCase() === id.toLowerCase());
  const linked = identities.some(
    (identity) => identity.issuer === issuer && subjects.includes(identity.subject),
  );
  return named || linked;
}

/** Operators who could say yes in a stage: without enough of them a call would wait for nobody. */
export const eligible = (
  operators: Iterable<Operator>,
  stage: { readonly approvers: readonly string[] },
  of: { readonly tenant: TenantId; readonly requester: Requester },
): Operator[] =>
  [...operators].filter(
    (operator) =>
      hasRoleFor(operator, 'approve', of.tenant) &&
      isOfStage(operator.id, stage) &&
      !asksForItself(operator, of.requester),
  );

const isOfStage = (id: string, { approvers }: { readonly approvers: readonly string[] }): boolean =>
  approvers.length === 0 || approvers.includes(id);

/** Why the person may not, undefined when they may. @param operator undefined for one who is not registered any more */
export function whyNot(
  asked: { readonly step: DecisionStep; readonly by: Decider; readonly at: number },
  operator: Operator | undefined,
  held: {
    readonly tenant: TenantId;
    readonly state: ApprovalState;
    readonly progress: Pick<Progress, 'plan' | 'stage' | 'votes'>;
    readonly requester: Requester;
  },
): HeldFault | undefined {
  const { step, by } = asked;
  const { plan, stage, votes } = held.progress;
  if (operator === undefined || !hasRoleFor(operator, step, held.tenant)) return 'not_approver';
  if (step === 'cancel' || step === 'acknowledge') return undefined;
  if (step === 'approve' && asksForItself(operator, held.requester)) return 'self';
  const place = plan.stages[stage];
  const voted = votes.some((vote) => vote.by === by.id);
  if (place === undefined || (!voted && !isOfStage(by.id, place))) return 'not_approver';
  return isSteppedUp(asked, plan) ? undefined : 'step_up';
}

function isSteppedUp(
  { by, at }: { readonly by: Decider; readonly at: number },
  { step_up_s: seconds }: Pick<Plan, 'step_up_s'>,
): boolean {
  if (seconds === 0) return true;
  return by.stepped_up_at !== 0 && at - by.stepped_up_at <= seconds * 1_000;
}

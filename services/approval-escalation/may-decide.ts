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
  /** Operators who changed another held call into this one. */
  readonly editors: readonly string[];
}

type Operators = ReadonlyMap<string, Operator>;

const ROLES: Readonly<Record<DecisionStep, readonly Role[]>> = {
  approve: ['approver', 'admin'],
  deny: ['approver', 'admin'],
  edit: ['approver', 'admin'],
  revoke: ['approver', 'operator', 'admin'],
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

/** Names of people are told apart by more than case and form: who is refused wrongly asks somebody else. */
const folded = (name: string): string => name.normalize('NFKC').toLowerCase();

const identitiesOf = ({ identities = [] }: Operator): string[] =>
  identities.map(({ issuer, subject }) => JSON.stringify([issuer, folded(subject)]));

/** The operator and every other one who is the same person: who shares an identity with one of them, and so on. */
export function samePerson(operator: Operator, operators: Operators): Operator[] {
  const found = new Set([operator]);
  for (const one of found) {
    const own = new Set(identitiesOf(one));
    for (const other of operators.values()) {
      const same = folded(other.id) === folded(one.id);
      if (same || identitiesOf(other).some((identity) => own.has(identity))) found.add(other);
    }
  }
  return [...found];
}

/**
 * True when the operator, under whichever id, is a person behind the call: by a linked identity, by having the very
 * same name, or because they changed another call into it.
 */
export function asksForItself(
  operator: Operator,
  { issuer, subjects, editors }: Requester,
  operators: Operators,
): boolean {
  const names = new Set([...subjects, ...editors].map(folded));
  const linked = new Set(subjects.map((subject) => JSON.stringify([issuer, folded(subject)])));
  return samePerson(operator, operators).some(
    (one) => names.has(folded(one.id)) || identitiesOf(one).some((own) => linked.has(own)),
  );
}

/** Operators who could say yes in a stage: without enough of them a call would wait for nobody. */
export const eligible = (
  operators: Operators,
  stage: { readonly approvers: readonly string[] },
  of: { readonly tenant: TenantId; readonly requester: Requester },
): Operator[] =>
  [...operators.values()].filter(
    (operator) =>
      hasRoleFor(operator, 'approve', of.tenant) &&
      isOfStage(operator.id, stage) &&
      !asksForItself(operator, of.requester, operators),
  );

const isOfStage = (id: string, { approvers }: { readonly approvers: readonly string[] }): boolean =>
  approvers.length === 0 || approvers.includes(id);

/** Why the person may not, undefined when they may: also when they are not registered any more. */
export function whyNot(
  asked: { readonly step: DecisionStep; readonly by: Decider; readonly at: number },
  operators: Operators,
  held: {
    readonly tenant: TenantId;
    readonly state: ApprovalState;
    readonly progress: Pick<Progress, 'plan' | 'stage' | 'votes' | 'grantOf'>;
    readonly requester: Requester;
  },
): HeldFault | undefined {
  const { step, by } = asked;
  const { plan, stage, votes } = held.progress;
  const operator = operators.get(by.id);
  if (operator === undefined || !hasRoleFor(operator, step, held.tenant)) return 'not_approver';
  if (step === 'revoke') return held.progress.grantOf === undefined ? 'not_found' : undefined;
  if (step === 'cancel' || step === 'acknowledge') return undefined;
  if (step === 'approve' && asksForItself(operator, held.requester, operators)) return 'self';
  const place = plan.stages[stage];
  const voted = votes.some((vote) => vote.by === by.id);
  const ids = new Set(samePerson(operator, operators).map(({ id }) => id));
  if (step === 'approve' && !voted && votes.some((vote) => ids.has(vote.by))) return 'voted';
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

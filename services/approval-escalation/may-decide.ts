/** Whether a person may take a step now: asked of the operators as they are at this moment, on every surface alike. */
import type { Plan, Stage } from '#contracts/approval.ts';
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
  { roles, disabled, tenants = [] }: Operator,
  step: DecisionStep,
  tenant: TenantId,
): boolean =>
  disabled !== true &&
  roles.some((role) => ROLES[step].includes(role)) &&
  (tenants.length === 0 || tenants.includes(tenant));

/** Names of people are told apart by more than case and form: who is refused wrongly asks somebody else. */
const folded = (name: string): string => name.normalize('NFKC').toLowerCase();

const identity = (issuer: string, subject: string): string =>
  JSON.stringify([issuer, folded(subject)]);

/** Under which names an operator is known: id, and linked identities. */
const namesOf = ({ id, identities = [] }: Operator): string[] => [
  folded(id),
  ...identities.map(({ issuer, subject }) => identity(issuer, subject)),
];

/** All operators who are the same person as this one, who is among them. */
export type People = (operator: Operator) => ReadonlySet<Operator>;

/** Who of the operators is the same person: who shares an identity, or shares one with somebody who does. */
export function peopleOf(operators: Operators): People {
  const people = new Map<string, Set<Operator>>();
  for (const operator of operators.values()) {
    const person = new Set([operator]);
    for (const name of namesOf(operator)) {
      for (const same of people.get(name) ?? []) person.add(same);
    }
    for (const same of person) for (const name of namesOf(same)) people.set(name, person);
  }
  return (operator) => people.get(folded(operator.id)) ?? new Set([operator]);
}

/**
 * True when the person, under whichever id, is behind the call: by a linked identity, by having the very same name, or
 * because they changed another call into it.
 */
export function asksForItself(
  person: ReadonlySet<Operator>,
  { issuer, subjects, editors }: Requester,
): boolean {
  const asking = new Set([
    ...[...subjects, ...editors].map(folded),
    ...subjects.map((subject) => identity(issuer, subject)),
  ]);
  return [...person].some((one) => namesOf(one).some((name) => asking.has(name)));
}

interface AskedFor {
  readonly tenant: TenantId;
  readonly requester: Requester;
}

/** How many people could say yes in a stage: without enough of them a call would wait for nobody. */
export function eligible(
  operators: Operators,
  stage: Pick<Stage, 'approvers'>,
  of: AskedFor,
): number {
  return new Set(approversOf(operators, stage, of).map(peopleOf(operators))).size;
}

/** The operators who could say yes in a stage, several of whom may be one person. */
export function approversOf(
  operators: Operators,
  stage: Pick<Stage, 'approvers'>,
  { tenant, requester }: AskedFor,
): readonly Operator[] {
  const people = peopleOf(operators);
  return [...operators.values()].filter(
    (operator) =>
      hasRoleFor(operator, 'approve', tenant) &&
      isOfStage(operator.id, stage) &&
      !asksForItself(people(operator), requester),
  );
}

const isOfStage = (id: string, { approvers }: Pick<Stage, 'approvers'>): boolean =>
  approvers.length === 0 || approvers.includes(id);

interface Asked {
  readonly step: DecisionStep;
  readonly by: Decider;
  readonly at: number;
}

/** A held call as far as it concerns who may decide it. */
export interface Decidable {
  readonly tenant: TenantId;
  readonly progress: Pick<Progress, 'plan' | 'stage' | 'votes' | 'grantOf'>;
  readonly requester: Requester;
}

/** Why the person may not, undefined when they may: also when they are not registered any more. */
export function whyNot(asked: Asked, operators: Operators, held: Decidable): HeldFault | undefined {
  const { step, by } = asked;
  const operator = operators.get(by.id);
  if (operator === undefined || !hasRoleFor(operator, step, held.tenant)) return 'not_approver';
  if (step === 'revoke') return held.progress.grantOf === undefined ? 'not_found' : undefined;
  if (step === 'cancel' || step === 'acknowledge') return undefined;
  return whyNotNow(asked, { operator, operators }, held);
}

/** The same of a yes, a no or a change, by somebody with the role. */
function whyNotNow(
  asked: Asked,
  { operator, operators }: { readonly operator: Operator; readonly operators: Operators },
  held: Decidable,
): HeldFault | undefined {
  const { step, by } = asked;
  const { plan, stage, votes } = held.progress;
  const voted = votes.some((vote) => vote.by === by.id);
  const counts = step === 'approve' ? whyNoVote(operator, operators, held) : undefined;
  if (counts !== undefined) return counts;
  const place = plan.stages[stage];
  if (place === undefined || (!voted && !isOfStage(by.id, place))) return 'not_approver';
  // A no, or other arguments that somebody else approves, release nothing: they are never made harder.
  return step !== 'approve' || isSteppedUp(asked, plan) ? undefined : 'step_up';
}

/** Why this person's yes would not count. */
function whyNoVote(
  operator: Operator,
  operators: Operators,
  { progress: { votes }, requester }: Decidable,
): HeldFault | undefined {
  const person = peopleOf(operators)(operator);
  if (asksForItself(person, requester)) return 'self';
  const ids = new Set([...person].map(({ id }) => id));
  const other = votes.find((vote) => ids.has(vote.by) && vote.by !== operator.id);
  return other === undefined ? undefined : 'voted';
}

function isSteppedUp(
  { by, at }: { readonly by: Decider; readonly at: number },
  { step_up_s: seconds }: Pick<Plan, 'step_up_s'>,
): boolean {
  if (seconds === 0) return true;
  return by.stepped_up_at !== 0 && at - by.stepped_up_at <= seconds * 1_000;
}

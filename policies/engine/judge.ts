/**
 * What floor and tenant policy together say of one input: the floor first, which no tenant can lift. Pure, so that a
 * worker and a replay of its record cannot judge differently.
 */
import type { Verdict } from '#contracts/call.ts';
import type { PolicyOutput, PolicyRole } from '#contracts/policy.ts';
import type { Reason } from '#contracts/reasons.ts';

/** One policy's answer, or why there is none. */
export type PolicyAnswer =
  | { readonly ok: true; readonly output: PolicyOutput }
  | { readonly ok: false; readonly code: Reason; readonly detail: string };

export type Evaluate = (input: Uint8Array, timeMs: number) => PolicyAnswer;

export interface PolicyJudgement {
  readonly verdict: Verdict;
  readonly reason: Reason;
  /** For the operator. */
  readonly detail: string;
  /** What each returned, null where one was not asked or gave no answer that counts. */
  readonly output: Readonly<Record<PolicyRole, PolicyOutput | null>>;
}

/**
 * @param input JSON text of a PolicyInput, in UTF-8
 * @param timeMs recorded time of the decision
 */
export function judgeInput(
  evaluate: Readonly<Record<PolicyRole, Evaluate>>,
  input: Uint8Array,
  timeMs: number,
): PolicyJudgement {
  const below = evaluate.floor(input, timeMs);
  if (!below.ok) {
    const output = { floor: null, tenant: null };
    return { verdict: 'block', reason: below.code, detail: `floor: ${below.detail}`, output };
  }
  const floor = below.output;
  if (floor.verdict !== 'allow') {
    const output = { floor, tenant: null };
    return { verdict: 'block', reason: 'policy.floor', detail: floor.reason ?? '', output };
  }
  const answer = evaluate.tenant(input, timeMs);
  if (!answer.ok) {
    const output = { floor, tenant: null };
    return { verdict: 'block', reason: answer.code, detail: answer.detail, output };
  }
  const { verdict } = answer.output;
  return { verdict, reason: REASON[verdict], detail: '', output: { floor, tenant: answer.output } };
}

const REASON = {
  allow: 'policy.allowed',
  block: 'policy.blocked',
  escalate: 'policy.needs_approval',
} as const satisfies Record<Verdict, Reason>;

// Judges a recorded decision once more: its own policies on its own input at its own time, then its own mode. What the
// other checks found is taken from the record: their tokens and counters are gone, and are not kept on purpose.

import type { Verdict } from '#contracts/call.ts';
import type { DecisionEvidence, DecisionLeaf } from '#contracts/decision.ts';
import { asJson, canonical, type Json } from '#contracts/json.ts';
import { afterLifting, type Mode, modeLifts, MODES, type Refused } from '#contracts/mode.ts';
import { parsePayload, payloadFault } from '#contracts/payload.ts';
import type { PolicyRole } from '#contracts/policy.ts';
import { isReason, type Reason, reasonSpec } from '#contracts/reasons.ts';
import { type Evaluate, judgeInput, type PolicyJudgement } from '#policies/engine/judge.ts';

/** The record cannot be replayed; says why. */
export class NotReplayable extends Error {}

/** There is nothing left to replay it from. */
export class Erased extends NotReplayable {}

/** What was decided. */
export interface Judged {
  readonly verdict: Verdict;
  readonly verdict_before_mode: Verdict;
  readonly reason: string;
}

export interface Replay {
  readonly identical: boolean;
  readonly recorded: Judged;
  readonly replayed: Judged;
  /** False when an earlier check ended the decision, or the policies were not run at all. */
  readonly policies_evaluated: boolean;
  /** Names of what differs. */
  readonly differences: readonly string[];
}

/** Reasons that running the policies gives; with any other the policy check ended before it asked them. */
const FROM_EVALUATION: ReadonlySet<Reason | ''> = new Set<Reason | ''>([
  '', // passed
  'policy.blocked',
  'policy.needs_approval',
  'policy.floor',
  'policy.undefined',
  'policy.wrong_shape',
  'policy.error',
  'policy.builtin',
  'policy.memory',
]);

/**
 * @param load gives the evaluation of the policy with this digest
 * @throws NotReplayable
 */
export async function replayDecision(
  leaf: DecisionLeaf,
  payloadText: string | null,
  load: (digest: string, role: PolicyRole) => Promise<Evaluate>,
): Promise<Replay> {
  const { evidence, input } = sectionsOf(leaf, payloadText);
  const step = evidence.checks.find(({ check }) => check === 'policy');
  const evaluated = step !== undefined && FROM_EVALUATION.has(step.reason);
  const judgement = evaluated ? await judgeAgain(leaf, input, load) : undefined;
  const replayed = outcomeOf(leaf, evidence, judgement);
  const { verdict, verdict_before_mode, reason } = leaf;
  const recorded: Judged = { verdict, verdict_before_mode, reason };
  const differences = (Object.keys(recorded) as (keyof Judged)[])
    .filter((name) => recorded[name] !== replayed[name])
    .map(String);
  if (judgement !== undefined) {
    const output = canonical(asJson(judgement.output));
    if (output !== canonical(evidence.output as Json)) differences.push('output');
    if (leaf.policy_reason !== (judgement.output.tenant?.reason ?? '')) {
      differences.push('policy_reason');
    }
  }
  return {
    identical: differences.length === 0,
    recorded,
    replayed,
    policies_evaluated: judgement !== undefined,
    differences,
  };
}

function modeOf(leaf: DecisionLeaf): Mode {
  const mode = MODES.find((known) => known === leaf.mode);
  if (mode === undefined) throw new NotReplayable(`unknown mode ${leaf.mode}`);
  return mode;
}

/** The recorded evidence and the exact text of the input. */
function sectionsOf(
  leaf: DecisionLeaf,
  payloadText: string | null,
): { readonly evidence: DecisionEvidence; readonly input: string } {
  if (payloadText === null) throw new Erased('the payload is erased');
  const fault = payloadFault(leaf, payloadText);
  if (fault !== '') throw new NotReplayable(`the payload is not the recorded one: ${fault}`);
  const { evidence, input } = parsePayload(payloadText)?.sections ?? {};
  if (evidence === undefined || input === undefined) {
    throw new NotReplayable('the payload has no evidence and input');
  }
  // Committed to by the leaf, so it is what a worker wrote.
  return { evidence: evidence as unknown as DecisionEvidence, input: canonical(input) };
}

async function judgeAgain(
  leaf: DecisionLeaf,
  input: string,
  load: (digest: string, role: PolicyRole) => Promise<Evaluate>,
): Promise<PolicyJudgement> {
  const policy = async (role: PolicyRole): Promise<Evaluate> => {
    const used = leaf.policies.find((one) => one.role === role);
    if (used === undefined) throw new NotReplayable(`the record names no ${role} policy`);
    return load(used.digest, role);
  };
  const policies = { floor: await policy('floor'), tenant: await policy('tenant') };
  return judgeInput(policies, new TextEncoder().encode(input), leaf.at);
}

/**
 * What did not pass, in order: the policies as they judge now, all other checks and what people said of a held call as
 * the record says.
 */
function refusalsOf(
  { resumes, reason }: DecisionLeaf,
  { checks }: DecisionEvidence,
  judgement: PolicyJudgement | undefined,
): Refused[] {
  const refusals: Refused[] = [];
  for (const step of checks) {
    if (step.check === 'policy' && judgement !== undefined) {
      const { verdict } = judgement;
      const answered = verdict === 'escalate' && resumes !== '';
      if (verdict !== 'allow' && !answered) refusals.push(judgement);
      if (answered && isReason(reason) && reason.startsWith('approval.')) {
        refusals.push({ verdict: 'block', reason });
      }
    } else if (step.reason !== '') refusals.push({ verdict: 'block', reason: step.reason });
  }
  return refusals;
}

function outcomeOf(
  leaf: DecisionLeaf,
  evidence: DecisionEvidence,
  judgement: PolicyJudgement | undefined,
): Judged {
  // A call_id that was used before ends a decision after its checks.
  if (isReason(leaf.reason) && reasonSpec(leaf.reason).check === 'request') {
    return { verdict: 'block', verdict_before_mode: 'block', reason: leaf.reason };
  }
  const mode = modeOf(leaf);
  const excepted = (evidence.lifted ?? []).filter(({ by }) => by.startsWith('exception:'));
  const { before, verdict, reason } = afterLifting(
    refusalsOf(leaf, evidence, judgement),
    (refusal) =>
      modeLifts(refusal.reason, mode) ||
      (reasonSpec(refusal.reason).liftable &&
        excepted.some((lifted) => lifted.reason === refusal.reason)),
  );
  const released = reason === 'policy.allowed' && leaf.resumes !== '' && judgement !== undefined;
  return {
    verdict,
    verdict_before_mode: before,
    reason: released && judgement.verdict === 'escalate' ? 'policy.approved' : reason,
  };
}

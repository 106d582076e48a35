/** Rollout modes, as one pure function after the decision. It lifts only what the table of reasons allows. */
import type { Verdict } from '#contracts/call.ts';
import type { PolicyInput } from '#contracts/policy.ts';
import { reasonSpec } from '#contracts/reasons.ts';

import type { Outcome } from './decide.ts';

export type Mode = PolicyInput['mode'];

/**
 * observe: a liftable refusal becomes an allow; soft-block: a liftable hold does, blocks stay. Never identity,
 * revocation, kill, floor or evidence. The record keeps the verdict before the mode.
 */
export function applyMode(outcome: Pick<Outcome, 'verdict' | 'reason'>, mode: Mode): Verdict {
  const { verdict } = outcome;
  if (verdict === 'allow' || mode === 'enforce' || !reasonSpec(outcome.reason).liftable)
    return verdict;
  if (mode === 'soft-block' && verdict === 'block') return verdict;
  return 'allow';
}

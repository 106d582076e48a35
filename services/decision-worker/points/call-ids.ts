/**
 * Idempotency: one key per (tenant, verified agent, call_id) for 24 hours in bucket `calls`, claimed by a conditional
 * write that only one worker can win, before anything is recorded.
 */
import { CLOCK_SKEW_MS } from '#contracts/call.ts';
import { type Reason, reasonSpec } from '#contracts/reasons.ts';
import { sha256 } from '#contracts/record.ts';
import type { KV } from '#host/nats.ts';

import type { Call } from '../decide.ts';
import type { Answers, Decided } from './answers.ts';

interface Claim {
  readonly call_hash: string;
  readonly decision_id: string;
  /** Digest of tenant, agent and person: an agent serves several, and the answer for one is not another's. */
  readonly principal: string;
  /** Milliseconds UTC after which a claim without an answer is of unknown end. */
  readonly deadline: number;
  /** The process that keeps the answer. */
  readonly keeper: string;
}

/** mine: judge it, then keep the answer. The others say what became of an earlier call with this id. */
export type Claimed =
  | {
      readonly state: 'mine';
      readonly keep: (answer: Decided) => Promise<void>;
      /** Gives the id back: only for a call that was surely not recorded. */
      readonly release: () => Promise<void>;
    }
  | { readonly state: 'answered'; readonly answer: Decided }
  | { readonly state: 'conflict' | 'unknown' | 'in_progress' };

export interface CallIds {
  /** @throws when the bucket cannot be asked */
  readonly claim: (
    call: Call,
    by: {
      readonly agent: string;
      readonly principal: string;
      readonly callHash: string;
      readonly decisionId: string;
    },
  ) => Promise<Claimed>;
}

const WRONG_LAST_SEQUENCE = 10071;

export function createCallIds(bucket: KV, answers: Answers): CallIds {
  return {
    claim: async (call, { agent, principal, callHash, decisionId }) => {
      const key = sha256(JSON.stringify([call.tenant, agent, call.envelope.call_id])).slice(
        'sha256:'.length,
      );
      const deadline = call.envelope.sent_at + call.envelope.remaining_ms + CLOCK_SKEW_MS;
      const claim: Claim = {
        call_hash: callHash,
        decision_id: decisionId,
        principal,
        deadline,
        keeper: answers.keeper,
      };
      const text = JSON.stringify(claim);
      const mine = (revision: number): Claimed => ({
        state: 'mine',
        keep: answers.keep,
        release: async () => bucket.delete(key, { previousSeq: revision }),
      });
      const created = await won(bucket.create(key, text));
      if (created !== undefined) return mine(created);
      const entry = await bucket.get(key);
      // Expired or given back between the two looks: the caller may simply come again.
      if (entry === null || entry.operation !== 'PUT') return { state: 'in_progress' };
      const before = entry.json<Claim>(); // written by a worker of ours
      if (before.call_hash !== callHash || before.principal !== principal)
        return { state: 'conflict' };
      const { keeper, decision_id: earlier } = before;
      const answer = await answers.find({ keeper, decisionId: earlier }, entry.created.getTime());
      if (answer === undefined)
        return { state: call.at > before.deadline ? 'unknown' : 'in_progress' };
      if (!judgedAnew(answer)) return { state: 'answered', answer };
      const again = await won(bucket.update(key, text, entry.revision));
      return again === undefined ? { state: 'in_progress' } : mine(again);
    },
  };
}

/** The revision of a conditional write, or undefined when another one came first. */
export const won = (write: Promise<number>): Promise<number | undefined> =>
  write.catch((error: unknown) => {
    if ((error as { code?: number }).code === WRONG_LAST_SEQUENCE) return undefined;
    throw error;
  });

/** Nothing ran, and the same call may end otherwise: a held call, and a refusal whose own words are "try again". */
function judgedAnew({ body: { verdict, reason } }: Decided): boolean {
  if (verdict !== 'block') return verdict === 'escalate';
  return reasonSpec(reason.code as Reason).retryable; // written by a worker of ours
}

import { CLOCK_SKEW_MS, type WorkerAnswer } from '#contracts/call.ts';
import { sha256 } from '#contracts/record.ts';
import type { KV } from '#host/nats.ts';

/**
 * Idempotency: one key per (tenant, verified agent, call_id) for 24 hours in bucket `calls`, claimed by a create that
 * only one worker can win, before anything is recorded.
 */
import { type Call } from '../decide.ts';

type Decided = Extract<WorkerAnswer, { kind: 'decided' }>;

interface Claim {
  readonly call_hash: string;
  readonly decision_id: string;
  /** Milliseconds UTC after which a claim without an answer is of unknown end. */
  readonly deadline: number;
  readonly answer?: Decided;
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
    by: { readonly agent: string; readonly callHash: string; readonly decisionId: string },
  ) => Promise<Claimed>;
}

const WRONG_LAST_SEQUENCE = 10071;

export function createCallIds(bucket: KV): CallIds {
  return {
    claim: async (call, { agent, callHash, decisionId }) => {
      const key = sha256(JSON.stringify([call.tenant, agent, call.envelope.call_id])).slice(
        'sha256:'.length,
      );
      const deadline = call.envelope.sent_at + call.envelope.remaining_ms + CLOCK_SKEW_MS;
      const claim: Claim = { call_hash: callHash, decision_id: decisionId, deadline };
      const created = await bucket.create(key, JSON.stringify(claim)).catch((error: unknown) => {
        if ((error as { code?: number }).code === WRONG_LAST_SEQUENCE) return undefined;
        throw error;
      });
      if (created === undefined) return earlier(await bucket.get(key), callHash, call.at);
      return {
        state: 'mine',
        keep: async (answer) => {
          await bucket.update(key, JSON.stringify({ ...claim, answer }), created);
        },
        release: async () => bucket.delete(key, { previousSeq: created }),
      };
    },
  };
}

function earlier(
  entry: { json: <T>() => T; operation: string } | null,
  callHash: string,
  at: number,
): Claimed {
  // Expired or given back between the two looks: the caller may simply come again.
  if (entry === null || entry.operation !== 'PUT') return { state: 'in_progress' };
  const claim = entry.json<Claim>(); // written by a worker of ours
  if (claim.call_hash !== callHash) return { state: 'conflict' };
  if (claim.answer !== undefined) return { state: 'answered', answer: claim.answer };
  return { state: at > claim.deadline ? 'unknown' : 'in_progress' };
}

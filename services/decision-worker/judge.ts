/**
 * One call: decide, record, answer. The answer exists only after the stream has acknowledged the record; if it cannot
 * be recorded, the answer is block. No other file publishes decisions.
 */
import { APPROVAL_TTL_S } from '#contracts/approval.ts';
import { TAKE_MS } from '#contracts/budget.ts';
import {
  ALLOW_VALID_MS,
  type Durability,
  type Verdict,
  type WorkerAnswer,
} from '#contracts/call.ts';
import type { ApprovalId } from '#contracts/ids.ts';
import type { Mode } from '#contracts/mode.ts';
import { publicReason, type Reason, reasonSpec } from '#contracts/reasons.ts';
import { RECORD_BYTES_MAX } from '#contracts/record.ts';
import { shardOf } from '#contracts/subjects.ts';
import { NotFirst, NotRecorded } from '#host/publish.ts';
import type { Tracing } from '#host/tracing.ts';

import { callScopeOf } from './checks/stopped.ts';
import {
  type Call,
  type Checks,
  decide,
  type Grant,
  type Lift,
  type Outcome,
  type Principal,
  type Release,
} from './decide.ts';
import type { CallIds, Claimed } from './points/call-ids.ts';
import { freshApprovalId, freshDecisionId, freshSalt } from './random.ts';
import { type Decided, type DecisionRecord, decisionRecord, hashOfCall } from './record.ts';
import type { Position, Recorder } from './recorder.ts';
import { beginSpan, endSpan } from './spans.ts';

type Answer = WorkerAnswer;
type DecidedAnswer = Extract<WorkerAnswer, { kind: 'decided' }>;

export interface JudgeParts {
  readonly checks: Checks;
  readonly recorder: Recorder;
  readonly callIds: CallIds;
  readonly mode: (call: Call, by: Principal) => Mode;
  readonly lift: Lift;
  readonly durability: () => { readonly epoch: string; readonly durability: Durability };
  readonly worker: string;
  /** Public key of the receipts that are made now. */
  readonly receiptKey: () => string;
  readonly onAnswer: (verdict: Verdict | 'none', reason: Reason) => void;
  readonly tracing: Tracing;
}

/** Judges calls. Never rejects: what cannot be judged is an answer too. */
export function createJudge(parts: JudgeParts): (call: Call) => Promise<Answer> {
  return async (call) => {
    const id = freshDecisionId(call.at);
    const span = parts.tracing.enabled ? beginSpan(parts.tracing, call) : undefined;
    let claiming: Promise<Claimed> | undefined;
    const checks: Checks = {
      ...parts.checks,
      // The key of a call_id holds the verified agent: claimed as soon as that is known, in parallel with the rest.
      identity: async (asked) => {
        const principal = await parts.checks.identity(asked);
        if (principal.ok && asked.envelope.call_id !== undefined) {
          const { agent, digest } = principal.value;
          claiming = parts.callIds.claim(asked, {
            agent,
            principal: digest,
            callHash: hashOfCall(asked),
            decisionId: id,
          });
          claiming.catch(() => undefined); // awaited below
        }
        return principal;
      },
    };
    const outcome = await decide(call, checks, parts.lift);
    const claimed = await claiming?.catch(() => 'unavailable' as const);
    const earlier = fromEarlier(call, outcome, claimed);
    if (earlier !== undefined) outcome.reservation?.refund();
    const answer =
      earlier !== undefined && 'kind' in earlier
        ? earlier
        : await settle(parts, call, { id, outcome: earlier ?? outcome, claimed });
    tell(parts, answer);
    if (span !== undefined) endSpan(span, call, answer);
    return answer;
  };
}

function tell({ onAnswer }: JudgeParts, answer: Answer): void {
  if (answer.kind === 'decided') onAnswer(answer.body.verdict, answer.body.reason.code as Reason);
  else if (answer.kind === 'refused') onAnswer('none', answer.code);
}

/**
 * What an earlier call with this call_id makes of this one: nothing, another outcome, or the earlier answer.
 * A stored allow or block is answered again only after identity and capability were checked again.
 */
function fromEarlier(
  call: Call,
  outcome: Outcome,
  claimed: Claimed | 'unavailable' | undefined,
): Outcome | Answer | undefined {
  if (claimed === undefined) return undefined;
  if (claimed === 'unavailable') return refused(call, 'call.unavailable');
  switch (claimed.state) {
    case 'mine':
      return undefined;
    case 'in_progress':
      return refused(call, 'call.in_progress');
    case 'conflict':
      return { ...outcome, ...NOT_AGAIN, reason: 'call.conflict' };
    case 'unknown':
      return { ...outcome, ...NOT_AGAIN, reason: 'call.unknown' };
    case 'answered': {
      const { check } = reasonSpec(outcome.reason);
      if (outcome.verdict !== 'allow' && (check === 'identity' || check === 'capability'))
        return { ...outcome, reservation: undefined };
      return { ...claimed.answer, n: call.envelope.n, repeated: true };
    }
  }
}

/** Nothing lifts that a call_id was used before. */
const NOT_AGAIN = { verdict: 'block', reservation: undefined, lifted: [] } as const;

async function settle(
  parts: JudgeParts,
  call: Call,
  judged: {
    readonly id: Decided['id'];
    readonly outcome: Outcome;
    readonly claimed: Claimed | 'unavailable' | undefined;
  },
): Promise<Answer> {
  const { outcome, claimed } = judged;
  const mine = typeof claimed === 'object' && claimed.state === 'mine' ? claimed : undefined;
  if (reasonSpec(outcome.reason).status !== 200) {
    await mine?.release().catch(() => undefined);
    return refused(call, outcome.reason);
  }
  if (outcome.reservation !== undefined && performance.now() - outcome.reservation.at > TAKE_MS) {
    // This process stood still for long; budget-settler may have given the reservation back.
    outcome.reservation.refund();
    await mine?.release().catch(() => undefined);
    return refused(call, 'service.timeout');
  }
  const { verdict, principal } = outcome;
  const mode = principal === undefined ? 'enforce' : parts.mode(call, principal);
  const { epoch, durability } = parts.durability();
  const held = verdict === 'escalate' && call.envelope.ask === 'decide';
  const { release } = outcome;
  const approvalId = held ? (release?.approvalId ?? freshApprovalId(call.at)) : '';
  const decided: Decided = {
    id: judged.id,
    mode,
    approvalId,
    durability,
    worker: parts.worker,
    receiptKey: call.envelope.receipt === true ? parts.receiptKey() : '',
  };
  const lines = decisionRecord(call, outcome, decided, freshSalt);
  if (lines.bytes > RECORD_BYTES_MAX) {
    outcome.reservation?.refund();
    await mine?.release().catch(() => undefined);
    return refused(call, 'evidence.too_large');
  }
  let position: Position;
  try {
    position = await record(parts.recorder, call, { lines, verdict, release });
  } catch (error) {
    if (!(error instanceof NotRecorded)) throw error;
    outcome.reservation?.refund();
    if (error instanceof NotFirst)
      return settle(parts, call, { ...judged, outcome: spent(outcome) });
    return refused(call, 'evidence.unavailable');
  }
  outcome.reservation?.spent();
  const answer = answerOf(call, outcome, decided, { epoch, ...position });
  // Kept before it is given: whoever saw this answer gets the same one again.
  await mine?.keep(answer);
  return answer;
}

function record(
  recorder: Recorder,
  call: Call,
  {
    lines,
    verdict,
    release,
  }: {
    readonly lines: DecisionRecord;
    readonly verdict: Verdict;
    readonly release: Release | undefined;
  },
): Promise<Position> {
  const { envelope, tenant } = call;
  if (verdict === 'allow' && release?.is === 'approved')
    return recorder.use(lines, tenant, release);
  // A repeat of what is held already is a record like any other: nobody is asked twice.
  const opens = verdict === 'escalate' && envelope.ask === 'decide' && release === undefined;
  if (opens) return recorder.hold(lines, tenant);
  return recorder.record(lines, shardOf(tenant, '', envelope.session_id ?? ''));
}

/** The outcome of a call whose approval somebody else used first. Where a grant is used up, people are asked. */
const spent = ({ release, ...outcome }: Outcome): Outcome => ({
  ...outcome,
  ...(release?.grant === true
    ? { verdict: 'escalate', reason: 'policy.needs_approval', release: undefined }
    : {
        verdict: 'block',
        reason: 'approval.used',
        release: release === undefined ? undefined : { ...release, is: 'used' },
      }),
  reservation: undefined,
  lifted: [],
});

/** An answer to a call that was not judged. */
export function refused(call: Pick<Call, 'envelope' | 'trace'>, code: Reason): Answer {
  const proven = call.trace.some(({ check, ok }) => check === 'identity' && ok);
  return { n: call.envelope.n, kind: 'refused', code, proven };
}

const SILENT = { message: '', policyReason: '' };

function answerOf(
  call: Call,
  outcome: Outcome,
  decided: Decided,
  { receipt, ...position }: DecidedAnswer['position'] & Pick<Position, 'receipt'>,
): DecidedAnswer {
  const { envelope } = call;
  const { principal, grant, reservation, verdict } = outcome;
  const tenantPolicy = grant?.policies.find(({ role }) => role === 'tenant');
  const { message, policyReason } = wordsOf(outcome);
  return {
    n: envelope.n,
    kind: 'decided',
    body: {
      decision_id: decided.id,
      ...(envelope.call_id === undefined ? {} : { call_id: envelope.call_id }),
      verdict,
      reason: publicReason(outcome.reason, message),
      ...(policyReason === '' ? {} : { policy_reason: policyReason }),
      policy: { digest: tenantPolicy?.digest ?? '', revision: grant?.revision ?? '' },
      obligations: verdict === 'allow' ? [...(grant?.obligations ?? [])] : [],
      ...(reservation === undefined || reservation.shares.length === 0
        ? {}
        : { budget: [...reservation.shares] }),
      valid_until: new Date(call.at + ALLOW_VALID_MS).toISOString(),
      ...rolloutOf(outcome, decided.mode),
      ...(decided.approvalId === '' ? {} : heldUntil(call, outcome, decided.approvalId)),
    },
    position,
    durability: decided.durability,
    ...(receipt === undefined ? {} : { receipt }),
    agent: principal?.agent ?? '',
    principal: principal?.digest ?? '',
    upstream: call.tool.upstream,
    session: envelope.session_id ?? principal?.session ?? '',
    ...(envelope.forwards && verdict === 'allow' && principal !== undefined
      ? { scope: callScopeOf(call, principal) }
      : {}),
    repeated: false,
  };
}

/** What a caller is told of modes and exceptions; nothing where everything is enforced. */
function rolloutOf(
  { verdict, lifted: [first] }: Outcome,
  mode: Mode,
): Pick<DecidedAnswer['body'], 'mode' | 'warning'> {
  const judgedIn = mode === 'enforce' ? {} : { mode };
  if (verdict !== 'allow' || first === undefined) return judgedIn;
  const why = first.by === mode ? `its agent class is in mode ${mode}` : 'of an exception';
  const otherwise = first.verdict === 'escalate' ? 'held' : 'blocked';
  const warning = `Allowed only because ${why}. Otherwise it would be ${otherwise}: ${first.reason}.`;
  return { ...judgedIn, warning };
}

/** The author's words belong to what the policy decided, not to a refusal of the check after it, or to what people said. */
function wordsOf({ grant, reason, release }: Outcome): Pick<Grant, 'message' | 'policyReason'> {
  if (grant === undefined || reasonSpec(reason).check !== 'policy') return SILENT;
  if (release === undefined || release.is === 'pending') return grant;
  return { message: release.note, policyReason: grant.policyReason };
}

function heldUntil(
  { at }: Call,
  { grant, release }: Outcome,
  approvalId: ApprovalId,
): Pick<DecidedAnswer['body'], 'approval_id' | 'approval_expires_at'> {
  const ttl = grant?.approval?.ttl ?? APPROVAL_TTL_S;
  const expiresAt = release?.expiresAt ?? at + ttl * 1_000;
  return { approval_id: approvalId, approval_expires_at: new Date(expiresAt).toISOString() };
}

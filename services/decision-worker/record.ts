/** The decision record: leaf and payload of one outcome, both canonical JSON, built in ascending key order. */
import { callHash } from '#contracts/call-hash.ts';
import type { Durability } from '#contracts/call.ts';
import type { DecisionEvidence, DecisionLeaf } from '#contracts/decision.ts';
import type { ApprovalId, DecisionId } from '#contracts/ids.ts';
import { canonical } from '#contracts/json.ts';
import type { Mode } from '#contracts/mode.ts';
import { type RecordLines, sealPayload, sha256 } from '#contracts/record.ts';
import { NO_KEYS } from '#contracts/sender.ts';

import { inputText, NOTHING_KNOWN } from './checks/policy.ts';
import type { Call, Outcome } from './decide.ts';
import { type Unsigned, unsignedReceipt } from './receipts.ts';

/** A detail may quote names of arguments; with them a refused call could be too large to be recorded. */
const DETAIL_CHARS_MAX = 4_000;

/** What judge knows of a decision beside its outcome. */
export interface Decided {
  readonly id: DecisionId;
  readonly mode: Mode;
  /** Set when the call is held. */
  readonly approvalId: ApprovalId | '';
  readonly durability: Durability;
  readonly worker: string;
  /** Key for this decision's receipt; empty = none is asked for. */
  readonly receiptKey: string;
}

/** A record, and what is to be signed once it goes out. */
export interface DecisionRecord extends RecordLines {
  /** Size of both lines with their ends. */
  readonly bytes: number;
  readonly receipt?: Unsigned;
}

/** The hash of this exact call (contracts/call-hash.ts). */
export const hashOfCall = ({ envelope, tenant, args, tool }: Call): string =>
  callHash({
    tenant,
    upstream: tool.upstream,
    tool: envelope.tool,
    definitionHash: tool.definitionHash,
    argsHash: sha256(args),
  });

/** @param freshSalt gives 32 new random hex digits at each call */
export function decisionRecord(
  call: Call,
  outcome: Outcome,
  decided: Decided,
  freshSalt: () => string,
): DecisionRecord {
  const input = outcome.grant?.inputText ?? knownInput(call, outcome, decided.mode);
  const { payload, commitments, salts } = sealPayload(
    { evidence: evidenceText(call, outcome), input },
    { arguments: call.args, call: hashOfCall(call) },
    freshSalt,
  );
  const leaf = JSON.stringify(leafOf(call, outcome, decided, commitments));
  const lines = { leaf, payload, bytes: Buffer.byteLength(leaf) + Buffer.byteLength(payload) + 2 };
  if (decided.receiptKey === '') return lines;
  const bound = { commitment: commitments['call'] ?? '', nonce: salts['call'] ?? '' };
  return { ...lines, receipt: unsignedReceipt(call, outcome, decided, bound) };
}

function knownInput(call: Call, outcome: Outcome, mode: Mode): string {
  const { principal, held, intent } = outcome;
  return inputText(call, {
    ...NOTHING_KNOWN,
    principal: principal?.inputText ?? NOTHING_KNOWN.principal,
    capability: held?.inputText ?? NOTHING_KNOWN.capability,
    intent: intent?.inputText ?? NOTHING_KNOWN.intent,
    session: call.envelope.session_id ?? principal?.session ?? '',
    mode,
  });
}

function leafOf(
  call: Call,
  outcome: Outcome,
  decided: Decided,
  commitments: Record<string, string>,
): DecisionLeaf {
  const { envelope } = call;
  const { principal, held, intent, grant } = outcome;
  return {
    // The name of nobody we know, perhaps a person's: `person` has its pseudonym.
    agent: outcome.reason === 'identity.unknown_agent' ? '' : (principal?.agent ?? ''),
    agent_class: principal?.agentClass ?? '',
    approval_id: decided.approvalId,
    ask: envelope.ask,
    at: call.at,
    budget: [...(outcome.reservation?.shares ?? [])],
    capability: { id: held?.id ?? '', kind: held?.kind ?? 'none', root: held?.root ?? '' },
    commitments,
    cost: grant?.cost ?? 0,
    durability: decided.durability,
    ...exceptionIn(outcome),
    facts_revision: grant?.factsRevision ?? '',
    forwards: envelope.forwards,
    ...(outcome.release?.grant === true ? { grant: outcome.release.approvalId } : {}),
    id: decided.id,
    kind: 'decision',
    labels: [...(grant?.labels ?? [])],
    mode: decided.mode,
    obligations: (grant?.obligations ?? []).map(({ type }) => type),
    person: principal?.pseudonym ?? '',
    policies: [...(grant?.policies ?? [])],
    policy_reason: grant?.policyReason ?? '',
    policy_revision: grant?.revision ?? '',
    reason: outcome.reason,
    receipt_key: decided.receiptKey,
    resumes:
      outcome.release === undefined || outcome.release.is === 'pending'
        ? ''
        : outcome.release.approvalId,
    session: envelope.session_id ?? principal?.session ?? '',
    task: intent?.task ?? envelope.task_id ?? '',
    tenant: call.tenant,
    tool: envelope.tool,
    trace_id: envelope.traceparent?.slice(3, 35) ?? '',
    upstream: call.tool.upstream,
    v: 1,
    verdict: outcome.verdict,
    verdict_before_mode: outcome.lifted[0]?.verdict ?? outcome.verdict,
    via: envelope.via,
    worker: decided.worker,
    workflow: principal?.workflow ?? '',
  };
}

const EXCEPTION = 'exception:';

/** The exception without which it would have come to something else. */
function exceptionIn({ lifted }: Outcome): Pick<DecisionLeaf, 'exception'> {
  const one = lifted.find(({ by }) => by.startsWith(EXCEPTION));
  return one === undefined ? {} : { exception: one.by.slice(EXCEPTION.length) };
}

function drawsOf({ reservation }: Outcome): Pick<DecisionEvidence, 'draws'> {
  if (reservation === undefined || reservation.draws.length === 0) return {};
  return {
    draws: reservation.draws.map(({ counter, take, units }) => ({ counter, take, units })),
  };
}

function identityIn(principal: Outcome['principal']): DecisionEvidence['identity'] {
  if (principal === undefined) return { expires_at: 0, issuer: '', token: '' };
  const { identity, sender } = principal;
  return {
    ...(identity.act === '' ? {} : { act: identity.act }),
    expires_at: identity.expiresAt,
    issuer: identity.issuer,
    ...(sender === NO_KEYS ? {} : { sender }),
    token: identity.token,
  };
}

function evidenceText(call: Call, outcome: Outcome): string {
  const { envelope } = call;
  const { principal, grant } = outcome;
  const { address, era, name, version } = envelope.client;
  const evidence: Omit<DecisionEvidence, 'output' | 'person'> = {
    call_id: envelope.call_id ?? '',
    checks: call.trace,
    client: { address, era, name: name.toWellFormed(), version: version.toWellFormed() },
    definition_hash: call.tool.definitionHash,
    detail: outcome.detail.slice(0, DETAIL_CHARS_MAX).toWellFormed(),
    ...drawsOf(outcome),
    identity: identityIn(principal),
    ...(outcome.lifted.length === 0
      ? {}
      : { lifted: outcome.lifted.map(({ by, reason }) => ({ by, reason })) }),
    message: grant?.message ?? '',
  };
  const known = JSON.stringify(evidence).slice(0, -1);
  const output =
    grant === undefined ? '{"floor":null,"tenant":null}' : canonical(grant.output as never);
  return `${known},"output":${output},"person":${JSON.stringify(principal?.person ?? '')}}`;
}

/**
 * A judged call on its way: asked, forwarded with the very bytes that were judged, its outcome recorded, its answer
 * relayed. Tools and other governed methods differ only in how they are asked and what their caller is told.
 */
import type { JsonObject } from '#contracts/json.ts';
import type { OutcomeStatus } from '#contracts/outcome.ts';
import type { Reason } from '#contracts/reasons.ts';
import { RECEIPT_META } from '#contracts/receipt.ts';

import { argumentsText, type Decided } from '../decisions.ts';
import { sendJson } from '../http.ts';
import {
  awayReason,
  callOf,
  enterWay,
  type Exchange,
  isForeign,
  isSessionGone,
  noSession,
  ownsSession,
  send,
  takeOver,
  type Way,
} from './exchange.ts';
import { faultOf } from './fault.ts';
import { callIdOf, type RequestMessage, wantsReceipt } from './message.ts';
import { knownObligations } from './obligations.ts';
import { isLate, recordOutcome } from './outcomes.ts';
import { relay } from './relay.ts';
import { failedText } from './result.ts';
import type { Owed } from './resume.ts';
import { settle } from './settle.ts';

/** Key of the warning in `_meta` of a result. */
const WARNING_META = 'countersign/warning';

/** A governed request of an agent. */
export interface Governed {
  readonly message: RequestMessage;
  /** Name that policy and capability know it by. */
  readonly action: string;
  readonly args: JsonObject;
  /** JSON text for the upstream. @param receipt of the decision, if there is one */
  readonly body: (receipt?: string) => string;
  /** It is a held call that is come back for. */
  readonly resumes?: boolean;
  /** A stream that lives until its client ends it. */
  readonly listens: boolean;
  /** What the caller gets instead of a result, or of an error, of the upstream; by default just that. */
  readonly wrap?: (answer: JsonObject) => JsonObject;
  /** For callers that read no streams: the whole answer as one document with status 200, made of the answer's text. */
  readonly document?: (text: string) => string;
  /** JSON-RPC text that tells the caller why the call has no result. */
  readonly tell: (text: string, decision: Decided) => string;
}

/** Asks a worker. @throws Fault for what was never judged */
export async function judge(
  exchange: Exchange,
  { message, action, args, resumes }: Governed,
): Promise<Decided> {
  const callId = callIdOf(message);
  const answer = await exchange.parts.ask(exchange.caller, {
    ...callOf(exchange),
    ...(callId === undefined ? {} : { call_id: callId }),
    ...(resumes === true ? { resumes } : {}),
    ask: 'decide',
    tool: action,
    forwards: true,
    ...(exchange.target.receipts || wantsReceipt(message) ? { receipt: true } : {}),
    args: argumentsText(args),
  });
  const { id } = message;
  if (answer.kind === 'refused') throw faultOf(answer.code, { id });
  if (answer.kind !== 'decided') throw faultOf('service.malformed_answer', { id });
  return answer;
}

/** Forwards an allowed call; whatever happens, its outcome is recorded. @throws Fault when the session is not the caller's */
export async function forward(
  exchange: Exchange,
  governed: Governed,
  decision: Decided,
): Promise<void> {
  const stop = (status: OutcomeStatus, why: string, code: Reason) =>
    stopped(exchange, governed, decision, { status, why, code });
  const obligations = knownObligations(decision.body.obligations);
  const owed: Owed = {
    ...judgedAs(decision),
    id: governed.message.id,
    obligations: obligations ?? [],
  };
  if (!ownsSession(exchange, decision.principal)) {
    await recordOutcome(exchange, owed, refusedLate('not the session of this caller'));
    throw noSession(exchange);
  }
  if (obligations === undefined) {
    return stop('refused_late', 'unknown obligation', 'policy.obligation');
  }
  if (isLate(owed)) return stop('refused_late', 'decided too late', 'service.timeout');
  if (exchange.reply.raw.destroyed) return stop('refused_late', 'caller gone', 'service.timeout');
  const { action, listens } = governed;
  const way = enterWay(exchange, { action, listens, scope: decision.scope });
  try {
    const killed = way.killedBy();
    if (killed !== '')
      return await stop('refused_late', `kill switch: ${killed}`, 'capability.killed');
    await travel(exchange, governed, decision, { owed, way });
  } finally {
    way.leave();
  }
}

/** There and back. */
async function travel(
  exchange: Exchange,
  governed: Governed,
  decision: Decided,
  { owed, way }: { readonly owed: Owed; readonly way: Way },
): Promise<void> {
  const stop = (status: OutcomeStatus, why: string, code: Reason) =>
    stopped(exchange, governed, decision, { status, why, code });
  const { signal } = way;
  const receipt = exchange.target.receipts ? decision.receipt : undefined;
  const sending = { body: governed.body(receipt), signal, silent: governed.listens, receipt };
  const response = await send(exchange, sending).catch((error: unknown) =>
    awayReason(exchange, error),
  );
  if (typeof response === 'string') {
    const unsent = response === 'service.upstream_unreachable';
    const killed = way.killedBy();
    if (killed !== '') return stop('aborted', `kill switch: ${killed}`, 'call.killed');
    const why = signal.aborted ? 'cancelled by the caller' : 'no answer of the upstream';
    // Not sent is not run: budget-settler gives back what it drew.
    return stop(unsent ? 'refused_late' : 'unknown', why, response);
  }
  if (isForeign(response)) {
    response.body.destroy();
    const { status } = response;
    exchange.parts.log.error({ upstream: exchange.target.name, status }, 'an upstream refused us');
    return stop('failed', `status ${status} of the upstream`, 'service.upstream_failed');
  }
  if (isSessionGone(exchange, response)) {
    response.body.destroy();
    const became = { status: 'failed' as const, detail: { error: 'the session has ended' } };
    await recordOutcome(exchange, owed, became);
    throw noSession(exchange);
  }
  const { listens, wrap, document } = governed;
  const tell = (code: Reason) => governed.tell(failedText(code, decision), decision);
  const settlement = settle(exchange, owed, {
    way,
    listens,
    meta: metaOf(governed, decision),
    wrap,
    document,
    tell,
  });
  const { session, unresumed } = exchange;
  const readToEnd =
    session === undefined ? undefined : unresumed.reads(owed.decisionId, () => way.stop());
  try {
    await relay(takeOver(exchange), response, settlement);
  } finally {
    readToEnd?.();
  }
}

/** What the agent gets beside the result: a receipt that it asked for, a warning where enforcing would not allow this. */
const metaOf = ({ message }: Governed, { body, receipt }: Decided): JsonObject => ({
  ...(receipt !== undefined && wantsReceipt(message) ? { [RECEIPT_META]: receipt } : {}),
  ...(body.warning === undefined ? {} : { [WARNING_META]: body.warning }),
});

const judgedAs = ({ body }: Decided) => ({
  decisionId: body.decision_id,
  validUntil: body.valid_until,
});

/** The outcome of a call that got no answer, and what its caller is told. */
async function stopped(
  exchange: Exchange,
  governed: Governed,
  decision: Decided,
  end: { readonly status: OutcomeStatus; readonly why: string; readonly code: Reason },
): Promise<void> {
  const became = { status: end.status, detail: { error: end.why } };
  await recordOutcome(exchange, judgedAs(decision), became);
  if (exchange.reply.raw.destroyed) return void exchange.reply.hijack();
  await sendJson(exchange.reply, governed.tell(failedText(end.code, decision), decision));
}

const refusedLate = (error: string) => ({ status: 'refused_late' as const, detail: { error } });

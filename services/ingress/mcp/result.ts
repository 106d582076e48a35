/**
 * What a model is told when its call did not run. A tool result and no error: errors of JSON-RPC end at the client,
 * and only what the model reads can change what it does next.
 */
import { asJson, type JsonObject } from '#contracts/json.ts';
import { publicReason, type Reason } from '#contracts/reasons.ts';

import { type Decided, recordedOf } from '../decisions.ts';
import type { Seal } from '../seal.ts';
import { faultText, Fault, RPC } from './fault.ts';
import type { Era, RequestId } from './message.ts';

/** Key of the decision in `_meta`. */
export const DECISION_KEY = 'countersign/decision';

/** A decision as data: the answer of POST /v1/decisions. The receipt of an allow is for the tool server that runs it. */
export const decisionData = (answer: Decided, seal: Seal): JsonObject => ({
  ...asJson(answer.body),
  ...(answer.repeated ? { repeated: true } : {}),
  recorded: { ...recordedOf(answer, seal) },
  ...(answer.receipt === undefined || answer.body.verdict === 'allow'
    ? {}
    : { receipt: answer.receipt }),
});

/** Text of a JSON-RPC response. */
export const responseText = (id: RequestId, result: JsonObject): string =>
  JSON.stringify({ jsonrpc: '2.0', id, result });

/** A tool result that the model can act on. */
export function toldResult(era: Era, text: string, data: JsonObject): JsonObject {
  return {
    ...(era === '2026-07-28' ? { resultType: 'complete' } : {}),
    content: [{ type: 'text', text }],
    isError: true,
    _meta: { [DECISION_KEY]: data },
  };
}

/** block: what the model reads. */
export function blockText({ body }: Decided): string {
  const { code, message, help } = body.reason;
  const own = body.policy_reason === undefined ? '' : ` (${body.policy_reason})`;
  return `This call was blocked and did not run. ${message} ${help} [${code}${own}, decision ${body.decision_id}]`;
}

/** escalate, where the client offers no better way to wait. */
export function heldText({ body }: Decided): string {
  const { code, message } = body.reason;
  return (
    `This call is held and has not run. ${message} Wait for the approval, then repeat exactly this call; ` +
    `changing it needs a new approval. [${code}, approval ${body.approval_id ?? ''}, decision ${body.decision_id}]`
  );
}

/** A call with this call_id was answered before; it must not run twice. */
export function repeatedText({ body }: Decided): string {
  return (
    `This call was sent before under the same call_id and is not run again; its verdict was ${body.verdict}. ` +
    `Look at the first answer, or use a new call_id for a new call. [decision ${body.decision_id}]`
  );
}

/** An allowed call that failed on our side of the upstream: what is known about whether it ran. */
export function failedText(code: Reason, { body }: Decided): string {
  const { message, help } = publicReason(code);
  return `${message} ${help} [${code}, decision ${body.decision_id}]`;
}

/** The same for methods that are no tools: they have no result that a model reads. */
export function judgedErrorText(id: RequestId, text: string, data: JsonObject): string {
  return faultText(new Fault(RPC.refused, text, { id, data: { [DECISION_KEY]: data } }));
}

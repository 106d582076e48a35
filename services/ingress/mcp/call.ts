/** tools/call: judged on its arguments, forwarded with exactly these, or answered by a result that the model can read. */
import { CONTROL_KEYS, type Tool } from '#contracts/control.ts';
import type { JsonObject } from '#contracts/json.ts';

import type { Decided } from '../decisions.ts';
import { sendJson } from '../http.ts';
import { type Exchange, forwarded } from './exchange.ts';
import { Fault, RPC } from './fault.ts';
import { forward, type Governed, judge } from './govern.ts';
import { compareParams } from './headers.ts';
import { hold } from './hold.ts';
import { isObject, type RequestMessage } from './message.ts';
import { blockText, decisionData, repeatedText, responseText, toldResult } from './result.ts';
import { continuedRound, type Round } from './rounds.ts';

const TOOL_NAME = /^[!-~]{1,128}$/;
/** Names of governed methods that are no tools; a tool that bears one could borrow their rights. */
const ACTION_PREFIX = 'mcp:';

/** @throws Fault */
export async function callTool(exchange: Exchange, message: RequestMessage): Promise<void> {
  const { id, params } = message;
  const { name } = params;
  // null is what several clients send for no arguments.
  const given = params['arguments'] ?? {};
  if (typeof name !== 'string' || !TOOL_NAME.test(name) || name.startsWith(ACTION_PREFIX)) {
    throw new Fault(RPC.invalidParams, 'The tool has no name that can be called.', { id });
  }
  if (!isObject(given)) throw new Fault(RPC.invalidParams, 'The arguments are no object.', { id });
  compareDeclared(exchange, message, { name, args: given });
  const governed: Governed = {
    message,
    action: name,
    args: given,
    body: (receipt) => forwarded(message, { arguments: given }, receipt),
    listens: false,
    tell: (text, decision) => told(exchange, id, { text, decision }),
  };
  const round = await continuedRound(exchange, governed);
  if (round === undefined) return decide(exchange, governed, undefined);
  const { requestState: _state, inputResponses: _responses, ...rest } = params;
  const body = (receipt?: string) =>
    forwarded({ ...message, params: rest }, { arguments: given }, receipt);
  return decide(exchange, { ...governed, body }, round);
}

async function decide(
  exchange: Exchange,
  governed: Governed,
  round: Round | undefined,
): Promise<void> {
  const decision = await judge(exchange, governed);
  const answer = (text: string) => sendJson(exchange.reply, governed.tell(text, decision));
  const { verdict } = decision.body;
  if (decision.repeated) await answer(repeatedText(decision));
  else if (verdict === 'block') await answer(blockText(decision));
  else if (verdict === 'escalate') await hold(exchange, governed, decision, round);
  else await forward(exchange, governed, decision);
}

function told(
  { era, parts }: Exchange,
  id: RequestMessage['id'],
  { text, decision }: { readonly text: string; readonly decision: Decided },
): string {
  return responseText(id, toldResult(era, text, decisionData(decision, parts.seal)));
}

/** Mirrored parameters, by the schema that the tool was registered with. @throws Fault -32020 */
function compareDeclared(
  { parts, caller, target, request, era }: Exchange,
  message: RequestMessage,
  { name, args }: { readonly name: string; readonly args: JsonObject },
): void {
  if (era !== '2026-07-28') return;
  const key = CONTROL_KEYS.tool(caller.tenant, target.name, name);
  const schema = parts.view.get<Tool>(key)?.value?.input_schema as JsonObject | undefined; // read as JSON
  if (schema !== undefined) compareParams(message, request.headers, { schema, args });
}

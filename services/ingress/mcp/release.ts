/**
 * Releases an approved call by the request that asks for its task: with that request's credentials, through all five
 * checks, with the bytes that were approved. Its result is told as the result of the task.
 */
import { CONTROL_KEYS, type Tool } from '#contracts/control.ts';
import { type JsonObject, parseStrict } from '#contracts/json.ts';

import type { Decided } from '../decisions.ts';
import type { Exchange } from './exchange.ts';
import { forwarded } from './exchange.ts';
import { forward, type Governed, judge } from './govern.ts';
import { headersOfCall } from './headers.ts';
import { taskOf } from './hold.ts';
import { isObject, type RequestMessage } from './message.ts';
import { blockText, decisionData, DECISION_KEY, repeatedText, responseText } from './result.ts';
import type { HeldTask } from './tasks.ts';

/** True once the request is answered; false where nobody can say what the call was, or it is still held. @throws Fault */
export async function releaseHeld(
  exchange: Exchange,
  message: RequestMessage,
  task: HeldTask,
): Promise<boolean> {
  const { parts, target } = exchange;
  const call = task.place && (await parts.held.call(task.place, task.sealed.principal));
  if (call === undefined || call.upstream !== target.name) return false;
  const args = parseStrict(Buffer.from(call.arguments));
  if (!isObject(args)) return false;
  const again = callAgain(exchange, message, { name: call.tool, args });
  const governed = governedBy(again, task, { name: call.tool, args });
  const decision = await judge(again, governed);
  const { verdict } = decision.body;
  if (verdict === 'escalate') return false;
  if (verdict === 'allow' && !decision.repeated) await forward(again, governed, decision);
  else {
    const text = decision.repeated ? repeatedText(decision) : blockText(decision);
    await exchange.reply.type('application/json').send(governed.tell(text, decision));
  }
  return true;
}

interface Called {
  readonly name: string;
  readonly args: JsonObject;
}

/** The exchange as if its request had brought the call. */
function callAgain(exchange: Exchange, message: RequestMessage, { name, args }: Called) {
  const { parts, caller, target, request } = exchange;
  const { _meta: meta } = message.params;
  const params: JsonObject = {
    name,
    arguments: args,
    ...(meta === undefined ? {} : { _meta: meta }),
  };
  const body: JsonObject = { jsonrpc: '2.0', id: message.id, method: 'tools/call', params };
  const key = CONTROL_KEYS.tool(caller.tenant, target.name, name);
  const schema = parts.view.get<Tool>(key)?.value?.input_schema as JsonObject | undefined; // read as JSON
  return {
    ...exchange,
    caller: parts.admit(request), // who asks twice takes two shares of the rates
    message: { kind: 'request', id: message.id, method: 'tools/call', params, body },
    mirrored: headersOfCall(name, { schema, args }),
  } as const satisfies Exchange;
}

function governedBy(
  exchange: Exchange & { readonly message: RequestMessage },
  task: HeldTask,
  { name, args }: Called,
): Governed {
  const { message, parts } = exchange;
  const told = (text: string, decision: Decided): JsonObject => ({
    ...taskOf(task, 'completed', 'Ended.'),
    result: { content: [{ type: 'text', text }], isError: true },
    _meta: { [DECISION_KEY]: decisionData(decision, parts.seal) },
  });
  return {
    message,
    action: name,
    args,
    body: (receipt) => forwarded(message, { arguments: args }, receipt),
    listens: false,
    resumes: true,
    wrap: (answer) =>
      'error' in answer
        ? { ...taskOf(task, 'failed', 'The tool server failed.'), error: answer['error'] ?? {} }
        : { ...taskOf(task, 'completed', 'Approved and run.'), result: answer['result'] ?? {} },
    tell: (text, decision) =>
      responseText(message.id, { resultType: 'complete', ...told(text, decision) }),
  };
}

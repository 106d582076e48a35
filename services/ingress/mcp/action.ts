/** Governed methods that are no tools: judged as actions named `mcp:<method>` on their params. */
import { sendJson } from '../http.ts';
import { type Exchange, forwarded } from './exchange.ts';
import { forward, type Governed, judge } from './govern.ts';
import type { RequestMessage } from './message.ts';
import { blockText, decisionData, heldText, judgedErrorText, repeatedText } from './result.ts';

/** @throws Fault */
export async function callAction(exchange: Exchange, message: RequestMessage): Promise<void> {
  const { id, method, params } = message;
  const { _meta: _, ...args } = params;
  const governed: Governed = {
    message,
    action: `mcp:${method}`,
    args,
    body: (receipt) => forwarded(message, {}, receipt),
    listens: method === 'subscriptions/listen',
    tell: (text, decision) =>
      judgedErrorText(id, text, decisionData(decision, exchange.parts.seal)),
  };
  const decision = await judge(exchange, governed);
  const answer = (text: string) => sendJson(exchange.reply, governed.tell(text, decision));
  if (decision.repeated) await answer(repeatedText(decision));
  else if (decision.body.verdict === 'block') await answer(blockText(decision));
  else if (decision.body.verdict === 'escalate') await answer(heldText(decision));
  else await forward(exchange, governed, decision);
}

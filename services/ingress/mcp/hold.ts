/** escalate: the call waits for a person. What the agent gets depends on what its client can do with it. */
import type { Decided } from '../decisions.ts';
import { sendJson } from '../http.ts';
import type { Exchange } from './exchange.ts';
import type { Governed } from './govern.ts';
import { heldText } from './result.ts';

export async function hold(
  { reply }: Exchange,
  governed: Governed,
  decision: Decided,
): Promise<void> {
  await sendJson(reply, governed.tell(heldText(decision), decision));
}

/** tasks/*: tasks of held calls are ours and answered from their sealed id alone; all others are the upstream's. */
import type { JsonObject } from '#contracts/json.ts';

import { sendJson } from '../http.ts';
import type { Sealed } from '../seal.ts';
import { callAction } from './action.ts';
import { type Exchange, proveCaller } from './exchange.ts';
import { Fault, RPC } from './fault.ts';
import { workingTask } from './hold.ts';
import type { RequestMessage } from './message.ts';
import { responseText } from './result.ts';

/** @throws Fault */
export async function askTask(exchange: Exchange, message: RequestMessage): Promise<void> {
  const { taskId } = message.params;
  const held = typeof taskId === 'string' ? exchange.parts.seal.open('task', taskId) : undefined;
  if (held === undefined || typeof taskId !== 'string') return callAction(exchange, message);
  const { principal } = await proveCaller(exchange);
  if (held.principal !== principal || Date.now() > held.expiresAt) {
    throw new Fault(RPC.invalidParams, 'There is no such task.', { id: message.id, status: 200 });
  }
  const result = await ANSWERS[message.method]?.(held, taskId);
  await sendJson(exchange.reply, responseText(message.id, { resultType: 'complete', ...result }));
}

const ANSWERS: Readonly<Record<string, (held: Sealed, taskId: string) => Promise<JsonObject>>> = {
  'tasks/get': async (held, taskId) => resumeHeld(held, taskId),
  // Nobody waits on our side: a held call that is not asked for again just expires.
  'tasks/cancel': async () => ({}),
  'tasks/update': async () => ({}),
};

/** What became of a held call: the one place where an approval will release it, judged anew for this caller. */
async function resumeHeld(held: Sealed, taskId: string): Promise<JsonObject> {
  return workingTask(taskId, held.expiresAt);
}

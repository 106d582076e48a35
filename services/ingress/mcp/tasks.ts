/** tasks/*: tasks of held calls are ours, and all we keep of them is in their sealed id; all others are the upstream's. */
import type { FastifyReply } from 'fastify';

import { HELD_WORDS, type ApprovalEntry, toldAs } from '#contracts/approval.ts';
import type { JsonObject } from '#contracts/json.ts';

import { waitsUntil } from '../held-handle.ts';
import type { HeldPlace } from '../held.ts';
import { sendJson } from '../http.ts';
import type { Sealed } from '../seal.ts';
import { callAction } from './action.ts';
import { type Exchange, proveCaller } from './exchange.ts';
import { Fault, RPC } from './fault.ts';
import { type TaskFacts, taskOf } from './hold.ts';
import type { RequestMessage } from './message.ts';
import { releaseHeld } from './release.ts';
import { responseText } from './result.ts';

/** A task that its own principal asks about. */
export interface HeldTask extends TaskFacts {
  readonly sealed: Sealed;
  /** Undefined for one that nobody can approve. */
  readonly place: HeldPlace | undefined;
}

/** @throws Fault */
export async function askTask(exchange: Exchange, message: RequestMessage): Promise<void> {
  const { taskId } = message.params;
  const { parts } = exchange;
  const sealed = typeof taskId === 'string' ? parts.seal.open('task', taskId) : undefined;
  if (sealed === undefined || typeof taskId !== 'string') return callAction(exchange, message);
  const { principal } = await proveCaller(exchange);
  if (sealed.principal !== principal || Date.now() > sealed.expiresAt) {
    throw new Fault(RPC.invalidParams, 'There is no such task.', { id: message.id, status: 200 });
  }
  const task: HeldTask = {
    taskId,
    decisionId: sealed.id,
    expiresAt: waitsUntil(sealed),
    sealed,
    place: sealed.held,
  };
  await ANSWERS[message.method]?.(exchange, message, task);
}

type Answer = (exchange: Exchange, message: RequestMessage, task: HeldTask) => Promise<void>;

/** Sends what became of the task. */
const answer = (
  { reply }: Exchange,
  { id }: RequestMessage,
  result: JsonObject = {},
): FastifyReply => sendJson(reply, responseText(id, { resultType: 'complete', ...result }));

const ANSWERS: Readonly<Record<string, Answer>> = {
  'tasks/get': resumeHeld,
  'tasks/cancel': async (exchange, message, { place, sealed }) => {
    if (place !== undefined) await exchange.parts.held.withdraw(place, sealed.principal);
    answer(exchange, message);
  },
  'tasks/update': async (exchange, message) => void answer(exchange, message),
};

/** What became of a held call. One that was approved is judged anew for this caller, and released by this very request. */
async function resumeHeld(
  exchange: Exchange,
  message: RequestMessage,
  task: HeldTask,
): Promise<void> {
  const entry = task.place === undefined ? undefined : await exchange.parts.held.entry(task.place);
  const state = entry === undefined ? 'pending' : toldAs(entry, Date.now());
  if (state === 'approved' && (await releaseHeld(exchange, message, task))) return;
  const call =
    state === 'edited' && task.place !== undefined
      ? await exchange.parts.held.call(task.place, task.sealed.principal)
      : undefined;
  const instead = call?.edited === undefined ? '' : ` Changed arguments: ${call.edited}`;
  answer(exchange, message, toldTask(task, entry && { ...entry, note: entry.note + instead }));
}

/** The task as its state says: ends are results that the model reads, for an error would end at its client. */
function toldTask(task: TaskFacts, entry: ApprovalEntry | undefined): JsonObject {
  const state = entry === undefined ? 'pending' : toldAs(entry, Date.now());
  if (state === 'pending' || state === 'approved') {
    return taskOf(task, 'working', 'Waiting for an approval.');
  }
  const { text } = HELD_WORDS[state];
  if (state === 'cancelled') return taskOf(task, 'cancelled', text);
  const note = entry === undefined || entry.note === '' ? '' : ` They say: ${entry.note}`;
  const effect =
    entry?.decision_id === undefined || entry.decision_id === ''
      ? ''
      : ` What became of it: ${entry.effect || 'unknown'} [decision ${entry.decision_id}].`;
  const content = [{ type: 'text', text: `${text}${note}${effect}` }];
  return { ...taskOf(task, 'completed', text), result: { content, isError: state !== 'used' } };
}

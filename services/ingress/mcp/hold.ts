/**
 * escalate: the call waits for a person, and nobody keeps the request. The agent gets the best handle that its client
 * can use, and comes back with it and its own credentials: a task to ask for, a page for the person who sits at the
 * client (who may not approve), or the words to wait and repeat the call.
 */
import { type DecisionId, timeOf } from '#contracts/ids.ts';
import type { JsonObject } from '#contracts/json.ts';

import type { Decided } from '../decisions.ts';
import { type Handle, handleOf } from '../held-handle.ts';
import { sendJson } from '../http.ts';
import type { Exchange } from './exchange.ts';
import { Fault, faultText, RPC } from './fault.ts';
import type { Governed } from './govern.ts';
import { clientCapabilitiesOf, elicitsUrls, isObject, TASKS_EXTENSION } from './message.ts';
import { DECISION_KEY, decisionData, heldText, responseText } from './result.ts';
import { ROUNDS_MAX, type Round, sealRound } from './rounds.ts';

export const POLL_MS = 5_000;

/** Answers a held call. @param round of a call that was answered `input_required` before */
export async function hold(
  exchange: Exchange,
  governed: Governed,
  decision: Decided,
  round: Round | undefined,
): Promise<void> {
  const { reply } = exchange;
  const handle = pageOf(exchange, decision);
  const { url, tasks } = offers(exchange, governed);
  if (tasks) await sendJson(reply, taskText(exchange, governed, decision, handle));
  else if (url && exchange.era === '2025-11-25') {
    await sendJson(reply, elicitationError(exchange, governed, decision, handle));
  } else if (url && (round?.number ?? 0) < ROUNDS_MAX) {
    await sendJson(reply, inputText(exchange, governed, decision, { handle, round }));
  } else await sendJson(reply, governed.tell(heldText(decision), decision));
}

interface Page extends Handle {
  readonly page: string;
}

function pageOf({ parts, caller }: Exchange, decision: Decided): Page {
  const handle = handleOf(decision, caller.tenant, parts.seal);
  return { ...handle, page: `${parts.publicUrl()}/held/${handle.text}` };
}

/** What the client says it can do: in the new era with each request, in the old one when the session was opened. */
function offers(
  { era, session }: Exchange,
  { message }: Governed,
): { readonly url: boolean; readonly tasks: boolean } {
  if (era === '2025-11-25') return { url: session?.opensUrls === true, tasks: false };
  const capabilities = clientCapabilitiesOf(message.params);
  const { extensions } = capabilities;
  return {
    url: elicitsUrls(capabilities),
    tasks: isObject(extensions) && isObject(extensions[TASKS_EXTENSION]),
  };
}

/** CreateTaskResult: the call goes on as a task that is asked for. */
function taskText(
  { parts }: Exchange,
  { message }: Governed,
  decision: Decided,
  handle: Handle,
): string {
  const task = { taskId: handle.text, decisionId: decision.body.decision_id, ...handle };
  return responseText(message.id, {
    resultType: 'task',
    ...taskOf(task, 'working', 'Waiting for an approval.'),
    _meta: { [DECISION_KEY]: decisionData(decision, parts.seal) },
  });
}

/** What says everything of a task but its state: nothing else of it is kept anywhere. */
export interface TaskFacts {
  readonly taskId: string;
  readonly decisionId: DecisionId;
  readonly expiresAt: number;
}

/** A task in one of its states. It began with its decision, whose id says when. */
export function taskOf(
  { taskId, decisionId, expiresAt }: TaskFacts,
  status: 'working' | 'completed' | 'failed' | 'cancelled',
  statusMessage: string,
): JsonObject {
  const began = timeOf(decisionId);
  const createdAt = new Date(began).toISOString();
  return {
    taskId,
    status,
    statusMessage,
    createdAt,
    lastUpdatedAt: createdAt,
    ttlMs: Math.max(0, expiresAt - began),
    pollIntervalMs: POLL_MS,
  };
}

const ASK = 'This call has to be approved. The page shows its state; somebody else approves it.';

/** URL elicitation of the new era: the client comes back with the state, and the call is judged anew. */
function inputText(
  exchange: Exchange,
  governed: Governed,
  decision: Decided,
  { handle, round }: { readonly handle: Page; readonly round: Round | undefined },
): string {
  return responseText(governed.message.id, {
    resultType: 'input_required',
    inputRequests: {
      approval: {
        method: 'elicitation/create',
        params: { mode: 'url', message: ASK, url: handle.page },
      },
    },
    requestState: sealRound(exchange, governed, {
      principal: decision.principal,
      expiresAt: handle.expiresAt,
      number: (round?.number ?? 0) + 1,
      approval: decision.body.approval_id ?? '',
    }),
    _meta: { [DECISION_KEY]: decisionData(decision, exchange.parts.seal) },
  });
}

/** URL elicitation of the old era, which has no state: the client repeats the call. */
function elicitationError(
  { parts }: Exchange,
  { message }: Governed,
  decision: Decided,
  { page }: Page,
): string {
  const data: JsonObject = {
    elicitations: [
      {
        mode: 'url',
        elicitationId: decision.body.approval_id ?? decision.body.decision_id,
        url: page,
        message: ASK,
      },
    ],
    [DECISION_KEY]: decisionData(decision, parts.seal),
  };
  return faultText(new Fault(RPC.urlElicitation, heldText(decision), { id: message.id, data }));
}

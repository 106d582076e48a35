/**
 * escalate: the call waits for a person, and nobody keeps the request. The agent gets the best handle that its client
 * can use, and comes back with it and its own credentials: a task to ask for, a page for the person who sits at the
 * client (who may not approve), or the words to wait and repeat the call.
 */
import type { JsonObject } from '#contracts/json.ts';

import type { Decided } from '../decisions.ts';
import { sendJson } from '../http.ts';
import type { Sealed } from '../seal.ts';
import type { Exchange } from './exchange.ts';
import { Fault, faultText, RPC } from './fault.ts';
import type { Governed } from './govern.ts';
import { clientCapabilitiesOf, elicitsUrls, isObject, TASKS_EXTENSION } from './message.ts';
import { DECISION_KEY, decisionData, heldText, responseText } from './result.ts';
import { ROUNDS_MAX, type Round, sealRound } from './rounds.ts';

/** How long a handle of a held call is good for. */
export const HELD_MS = 3_600_000;
export const POLL_MS = 5_000;

/** Answers a held call. @param round of a call that was answered `input_required` before */
export async function hold(
  exchange: Exchange,
  governed: Governed,
  decision: Decided,
  round: Round | undefined,
): Promise<void> {
  const { reply } = exchange;
  const handle = handleOf(exchange, decision);
  const { url, tasks } = offers(exchange, governed);
  if (tasks) await sendJson(reply, taskText(exchange, governed, decision, handle));
  else if (url && exchange.era === '2025-11-25') {
    await sendJson(reply, elicitationError(exchange, governed, decision, handle));
  } else if (url && (round?.number ?? 0) < ROUNDS_MAX) {
    await sendJson(reply, inputText(exchange, governed, decision, { handle, round }));
  } else await sendJson(reply, governed.tell(heldText(decision), decision));
}

interface Handle {
  readonly id: string;
  readonly page: string;
  readonly expiresAt: number;
}

function handleOf({ parts }: Exchange, { body, principal, position }: Decided): Handle {
  const expiresAt = Date.now() + HELD_MS;
  const sealed: Sealed = { kind: 'task', id: body.decision_id, principal, expiresAt, position };
  const id = parts.seal.seal(sealed);
  return { id, page: `${parts.publicUrl()}/held/${id}`, expiresAt };
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
  return responseText(message.id, {
    resultType: 'task',
    ...workingTask(handle.id, handle.expiresAt),
    _meta: { [DECISION_KEY]: decisionData(decision, parts.seal) },
  });
}

/** A task that waits. Its times follow from its expiry: nothing else of it is kept anywhere. */
export function workingTask(taskId: string, expiresAt: number): JsonObject {
  const createdAt = new Date(expiresAt - HELD_MS).toISOString();
  return {
    taskId,
    status: 'working',
    statusMessage: 'Waiting for an approval.',
    createdAt,
    lastUpdatedAt: createdAt,
    ttlMs: HELD_MS,
    pollIntervalMs: POLL_MS,
  };
}

const ASK = 'This call has to be approved. The page shows its state; somebody else approves it.';

/** URL elicitation of the new era: the client comes back with the state, and the call is judged anew. */
function inputText(
  exchange: Exchange,
  governed: Governed,
  decision: Decided,
  { handle, round }: { readonly handle: Handle; readonly round: Round | undefined },
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
    }),
    _meta: { [DECISION_KEY]: decisionData(decision, exchange.parts.seal) },
  });
}

/** URL elicitation of the old era, which has no state: the client repeats the call. */
function elicitationError(
  { parts }: Exchange,
  { message }: Governed,
  decision: Decided,
  { page }: Handle,
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

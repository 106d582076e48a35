/** POST /v1/decisions: a program asks whether a call may run. It runs it itself, and reports what became of it. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Compile } from 'typebox/compile';

import { ARGUMENTS_BYTES_MAX, DEADLINE_DEFAULT_MS, type WorkerAnswer } from '#contracts/call.ts';
import { DecisionRequest } from '#contracts/http.ts';
import type { TenantId } from '#contracts/ids.ts';
import { canonical, type JsonObject } from '#contracts/json.ts';

import { handleOf } from './held-handle.ts';
import {
  bodyAs,
  capabilityOf,
  clientOf,
  refuse,
  Refused,
  sendJson,
  traceparentOf,
} from './http.ts';
import type { Call, Parts } from './routes.ts';
import type { Seal } from './seal.ts';

export type Decided = Extract<WorkerAnswer, { kind: 'decided' }>;

const requestShape = Compile(DecisionRequest);

export function decisionRoutes(app: FastifyInstance, parts: Parts): void {
  app.post('/v1/decisions', async (request, reply) => {
    const caller = parts.admit(request);
    const answer = await parts.ask(caller, callOf(request));
    switch (answer.kind) {
      case 'decided':
        return sendJson(reply, decisionText(answer, caller.tenant, parts.seal));
      case 'refused':
        return refuse(reply, answer.code);
      case 'visible':
      case 'me': // answers another question: a bug of the worker, not a verdict
        return refuse(reply, 'service.malformed_answer');
    }
  });
}

function callOf(request: FastifyRequest): Call {
  const body = bodyAs(request, requestShape);
  const { tool, arguments: given, upstream = '', deadline_ms: deadlineMs, ...context } = body;
  return {
    ask: 'decide',
    via: 'http',
    capability: capabilityOf(request),
    tool,
    upstream,
    forwards: false,
    ...context,
    client: clientOf(request),
    ...traceparentOf(request),
    args: argumentsText(given),
    deadlineMs: deadlineMs ?? DEADLINE_DEFAULT_MS,
  };
}

/** The canonical bytes that are judged, hashed, recorded and forwarded. @throws Refused request.arguments_too_large */
export function argumentsText(given: JsonObject): string {
  const text = canonical(given);
  if (text.length * 3 > ARGUMENTS_BYTES_MAX && Buffer.byteLength(text) > ARGUMENTS_BYTES_MAX) {
    throw new Refused('request.arguments_too_large');
  }
  return text;
}

/** What a decision leaves behind for its asker: where the evidence stands, sealed. */
export function recordedOf(
  answer: Decided,
  seal: Seal,
): { readonly ref: string; readonly durability: Decided['durability'] } {
  const { body, principal, position, durability } = answer;
  const expiresAt = Date.parse(body.valid_until);
  return {
    ref: seal.seal({ kind: 'ref', id: body.decision_id, principal, expiresAt, position }),
    durability,
  };
}

function decisionText(answer: Decided, tenant: TenantId, seal: Seal): string {
  const { body, repeated, receipt } = answer;
  return JSON.stringify({
    ...body,
    ...(repeated ? { repeated } : {}),
    ...(body.verdict === 'escalate' && body.approval_id !== undefined
      ? { approval_handle: handleOf(answer, tenant, seal).text }
      : {}),
    recorded: recordedOf(answer, seal),
    ...(receipt === undefined ? {} : { receipt }),
  });
}

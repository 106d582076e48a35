/**
 * POST /v1/mcp as IntentGate publishes it, where a tenant switched it on: JSON-RPC with a capability as bearer, judged
 * and recorded as every call, and forwarded as one. Stricter than the model where that would be laxer than we are.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { DEADLINE_DEFAULT_MS } from '#contracts/call.ts';
import { CONTROL_KEYS, type Tool } from '#contracts/control.ts';
import type { Json, JsonObject } from '#contracts/json.ts';

import { argumentsText } from '../decisions.ts';
import { bodyOf, clientOf, Refused, sendJson, traceparentOf } from '../http.ts';
import type { Call, Caller, Parts } from '../routes.ts';
import { type Asked, callerOf, contextOf, type Shared } from './asked.ts';
import {
  CODES,
  CompatFault,
  faultOfDecision,
  faultOfReason,
  faultText,
  readCall,
  readEnvelope,
  resultText,
} from './envelope.ts';
import { run } from './run.ts';

const PATH = '/v1/mcp';

export function compatRoute(app: FastifyInstance, shared: Shared): void {
  app.post(PATH, { errorHandler: refuse(shared.parts) }, async (request, reply) => {
    if (!isOn(shared.parts)) throw new Refused('request.not_found');
    const envelope = readEnvelope(bodyOf(request));
    const asked: Asked = { ...shared, request, reply, envelope, since: performance.now() };
    try {
      await answer(asked);
    } catch (error) {
      if (reply.sent) breakOff(shared.parts, reply, error);
      else await tell(asked, faultText(envelope.id ?? null, faultOf(error)));
    }
    return reply;
  });
}

/** An answer that has begun cannot become an error any more. */
function breakOff({ log }: Parts, reply: FastifyReply, error: unknown): void {
  log.error({ err: error, url: PATH }, 'an answer broke off');
  reply.raw.destroy();
}

const isOn = ({ view }: Parts): boolean =>
  view.keys(CONTROL_KEYS.compat('')).some((key) => {
    const value = view.get<{ readonly route?: boolean }>(key)?.value;
    return value?.route === true;
  });

/** A notification is judged and run like a request, and answered with nothing. */
async function tell({ envelope, reply }: Asked, text: string): Promise<void> {
  if (envelope.id !== undefined) await sendJson(reply, text);
  else await reply.code(204).send();
}

async function answer(asked: Asked): Promise<void> {
  const { id = null, method } = asked.envelope;
  switch (method) {
    case 'initialize':
      return tell(asked, resultText(id, INITIALIZED));
    case 'ping':
      return tell(asked, resultText(id, {}));
    case 'tools/list':
      return tell(asked, resultText(id, { tools: await toolsOf(asked) }));
    case 'tools/call':
      return call(asked);
    default:
      throw new CompatFault(CODES.methodNotFound, 'method not implemented');
  }
}

const INITIALIZED: JsonObject = {
  protocolVersion: '2025-03-26',
  capabilities: { tools: {} },
  serverInfo: { name: 'countersign', version: '1' },
};

/** What the bearer may call; nothing without one. */
async function toolsOf(asked: Asked): Promise<Json[]> {
  const { parts, request } = asked;
  if (request.headers.authorization === undefined) return [];
  const caller = callerOf(asked);
  const said = await parts.ask(caller, { ...questionOf(request, caller), ask: 'me', args: '{}' });
  if (said.kind === 'refused') throw faultOfReason(said.code);
  if (said.kind !== 'me') throw faultOfReason('service.malformed_answer');
  return said.standing.tools.flatMap(({ upstream, name, reason }) => {
    if (reason !== '') return [];
    const key = CONTROL_KEYS.tool(caller.tenant, upstream, name);
    const { description = '', input_schema: inputSchema = { type: 'object' } } =
      parts.view.get<Tool>(key)?.value ?? {};
    return [{ name, description, inputSchema: inputSchema as JsonObject }]; // it was put as JSON
  });
}

async function call(asked: Asked): Promise<void> {
  const { parts, request, envelope } = asked;
  const { name, args } = readCall(envelope.params);
  const caller = callerOf(asked);
  const decision = await parts.ask(caller, {
    ...questionOf(request, caller),
    ...contextOf(request),
    ask: 'decide',
    tool: name,
    forwards: true,
    receipt: true,
    args: argumentsText(args),
  });
  if (decision.kind === 'refused') throw faultOfReason(decision.code);
  if (decision.kind !== 'decided') throw faultOfReason('service.malformed_answer');
  if (decision.body.verdict !== 'allow') throw faultOfDecision(decision);
  await run(asked, { caller, decision, name, args });
}

const questionOf = (request: FastifyRequest, { identity }: Caller) =>
  ({
    via: 'compat',
    capability: identity,
    tool: '',
    upstream: '',
    forwards: false,
    client: clientOf(request),
    ...traceparentOf(request),
    deadlineMs: DEADLINE_DEFAULT_MS,
  }) as const satisfies Partial<Call>;

function faultOf(error: unknown): CompatFault {
  if (error instanceof CompatFault) return error;
  if (error instanceof Refused) return faultOfReason(error.code, error.message);
  throw error;
}

/** What went wrong before there was an envelope. A route that nobody switched on is not there. */
function refuse({ log }: Parts) {
  return (error: FastifyError | Error, _: FastifyRequest, reply: FastifyReply): FastifyReply => {
    if (error instanceof CompatFault) return sendJson(reply, faultText(null, error));
    if (error instanceof Refused) {
      if (error.code === 'request.not_found') {
        return sendJson(reply.code(404), '{"error":"route not found"}');
      }
      const fault = new CompatFault(CODES.parse, 'invalid JSON', error.code);
      return sendJson(reply, faultText(null, fault));
    }
    if ('code' in error && error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
      const fault = new CompatFault(CODES.parse, 'failed to read request body');
      return sendJson(reply, faultText(null, fault));
    }
    log.error({ err: error, url: PATH }, 'request failed');
    const fault = new CompatFault(CODES.upstream, 'gateway unavailable');
    return sendJson(reply, faultText(null, fault));
  };
}

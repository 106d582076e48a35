/**
 * POST /v1/mcp as IntentGate publishes it, where a tenant switched it on: JSON-RPC with a capability as bearer, judged
 * and recorded as every call, and forwarded as one. Stricter than the model where that would be laxer than we are.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { DEADLINE_DEFAULT_MS, TOKEN_CHARS_MAX } from '#contracts/call.ts';
import { CONTROL_KEYS, type Tool } from '#contracts/control.ts';
import type { Json, JsonObject } from '#contracts/json.ts';

import { argumentsText, type Decided } from '../decisions.ts';
import { bodyOf, clientOf, Refused, sendJson, traceparentOf } from '../http.ts';
import { type Exchange, forwarded } from '../mcp/exchange.ts';
import { forward } from '../mcp/govern.ts';
import { isObject, type RequestMessage } from '../mcp/message.ts';
import { recordOutcome } from '../mcp/outcomes.ts';
import type { Upstreams } from '../mcp/upstream.ts';
import type { Call, Caller, Parts } from '../routes.ts';
import {
  CODES,
  CompatFault,
  type Envelope,
  faultOfDecision,
  faultOfReason,
  faultText,
  readCall,
  readEnvelope,
  resultText,
} from './envelope.ts';

type Shared = Pick<Exchange, 'parts' | 'unresumed' | 'stopping'> & {
  readonly upstreams: Upstreams;
};

/** A request whose envelope was read. */
interface Asked extends Shared {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly envelope: Envelope;
  readonly since: number;
}

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

/** Who asks, by the capability that it sends as bearer. @throws CompatFault, Refused */
function callerOf({ parts, request }: Asked): Caller {
  const { authorization = '', 'x-intentgate-obo': obo } = request.headers;
  const token = authorization.startsWith('Bearer ') ? authorization.slice(7).trim() : '';
  if (token === '' || token.length > TOKEN_CHARS_MAX) {
    throw new CompatFault(CODES.capability, 'capability check failed', 'missing capability token');
  }
  // To take no notice of it would leave the person out of decision and record.
  if (obo !== undefined) {
    const why = 'on-behalf-of tokens are not accepted here';
    throw new CompatFault(CODES.capability, 'capability check failed', why);
  }
  return parts.admitCapability(request, token);
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

const PURPOSE_CHARS_MAX = 2_000;
const TASK_CHARS_MAX = 128;

/** The prompt as declared purpose, and the task. @throws CompatFault */
function contextOf({ headers }: FastifyRequest): Pick<Call, 'intent' | 'task_id'> {
  const { 'x-intent-prompt': prompt = '', 'x-task-id': task = '' } = headers;
  if (typeof prompt !== 'string' || typeof task !== 'string' || task.length > TASK_CHARS_MAX) {
    throw new CompatFault(CODES.invalidRequest, 'a header is repeated or too long');
  }
  const purpose = headerText(prompt).slice(0, PURPOSE_CHARS_MAX).toWellFormed();
  return {
    ...(purpose === '' ? {} : { intent: { purpose } }),
    ...(task === '' ? {} : { task_id: task }),
  };
}

/** Node reads headers as Latin-1; most programs send UTF-8. */
function headerText(value: string): string {
  const bytes = Buffer.from(value, 'latin1');
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes) ? text : value;
}

interface Allowed {
  readonly caller: Caller;
  readonly decision: Decided;
  readonly name: string;
  readonly args: JsonObject;
}

/** Forwards an allowed call to the server of its tool, and answers with that one's result and our word about it. */
async function run(asked: Asked, { caller, decision, name, args }: Allowed): Promise<void> {
  const { parts, upstreams, envelope, since } = asked;
  const { id } = envelope;
  const target = upstreams.find(caller.tenant, decision.upstream);
  const params: JsonObject = { name, arguments: args };
  const message: RequestMessage = {
    kind: 'request',
    id: 1,
    method: 'tools/call',
    params,
    body: { jsonrpc: '2.0', id: 1, method: 'tools/call', params },
  };
  if (target === undefined) {
    const judged = {
      decisionId: decision.body.decision_id,
      validUntil: decision.body.valid_until,
    };
    const became = { status: 'refused_late', detail: { error: 'no tool server' } } as const;
    await recordOutcome({ parts, caller }, judged, became);
    throw new CompatFault(CODES.upstream, 'upstream transport', {
      detail: 'This tool has no server; nothing ran.',
    });
  }
  const exchange: Exchange = {
    ...asked,
    caller,
    target,
    message,
    era: '2025-11-25',
    session: undefined,
    mirrored: {},
  };
  if (id === undefined) void asked.reply.code(204);
  await forward(
    exchange,
    {
      message,
      action: name,
      args,
      body: (receipt) => forwarded(message, {}, receipt),
      listens: false,
      document: (text) =>
        id === undefined ? '' : answerText(id, text, performance.now() - since),
      tell: (detail) =>
        id === undefined
          ? ''
          : faultText(id, new CompatFault(CODES.upstream, 'upstream transport', { detail })),
    },
    decision,
  );
}

/** The upstream's own answer with the caller's id; a result says also what was decided. */
function answerText(id: Json, text: string, tookMs: number): string {
  const answer = JSON.parse(text) as JsonObject; // it was read before
  const { result } = answer;
  if (!isObject(result)) return JSON.stringify({ ...answer, id });
  const { content = [], isError = false } = result;
  const decided = { decision: 'allow', reason: 'forwarded', latency_ms: Math.round(tookMs) };
  return resultText(id, { ...result, content, isError, _intentgate: decided });
}

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

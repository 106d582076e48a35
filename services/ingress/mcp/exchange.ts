/** One request of an agent to an upstream, and the steps that all MCP methods share. */
import type { FastifyReply, FastifyRequest } from 'fastify';

import { type CallScope, DEADLINE_DEFAULT_MS, type WorkerAnswer } from '#contracts/call.ts';
import { canonical, type JsonObject } from '#contracts/json.ts';
import type { Reason } from '#contracts/reasons.ts';
import { RECEIPT_HEADER, RECEIPT_META } from '#contracts/receipt.ts';

import { capabilityOf } from '../http.ts';
import type { Journey } from '../in-flight.ts';
import type { Call, Caller, Parts } from '../routes.ts';
import { NoCredential } from './credential.ts';
import { type Fault, faultOf } from './fault.ts';
import { mirroredHeaders } from './headers.ts';
import {
  clientInfoOf,
  type Era,
  isObject,
  type Message,
  type RequestId,
  traceparentOf,
  withoutOwnMeta,
} from './message.ts';
import type { Client } from './relay.ts';
import type { Unresumed } from './resume.ts';
import type { Session } from './session.ts';
import { type Target, UpstreamAway, type UpstreamResponse } from './upstream.ts';

export interface Exchange {
  readonly parts: Parts;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly caller: Caller;
  readonly target: Target;
  readonly message: Message;
  /** What mirrors the message, where it is not the one that the request brought. */
  readonly mirrored?: Readonly<Record<string, string>>;
  readonly era: Era;
  /** The old era's session that the request names. */
  readonly session: Session | undefined;
  readonly unresumed: Unresumed;
  /** Aborted when this process is told to end. */
  readonly stopping: AbortSignal;
}

export type Visible = Extract<WorkerAnswer, { kind: 'visible' }>;

/** A call to be asked about, but for what is asked. */
export function callOf(exchange: Exchange): Omit<Call, 'ask' | 'tool' | 'args' | 'forwards'> {
  const { request, target, message, era, session } = exchange;
  const params = message.kind === 'response' ? {} : message.params;
  const traceparent = traceparentOf(params, String(request.headers['traceparent']));
  return {
    via: 'mcp',
    capability: capabilityOf(request),
    upstream: target.name,
    client: { address: request.ip, ...clientInfoOf(message), era },
    ...(traceparent === '' ? {} : { traceparent }),
    ...(session === undefined ? {} : { session_id: session.name }),
    deadlineMs: DEADLINE_DEFAULT_MS,
  };
}

/** Who asks and what they may see, for what is not judged. @throws Fault when the identity does not hold */
export async function proveCaller(exchange: Exchange): Promise<Visible> {
  const answer = await exchange.parts.ask(exchange.caller, {
    ...callOf(exchange),
    ask: 'visible',
    tool: '',
    forwards: false,
    args: '{}',
  });
  if (answer.kind === 'refused') throw faultOf(answer.code, { id: idIn(exchange) });
  if (answer.kind !== 'visible') throw faultOf('service.malformed_answer', { id: idIn(exchange) });
  if (!ownsSession(exchange, answer.principal)) throw noSession(exchange);
  return answer;
}

/** False when the request names a session that somebody else opened. */
export const ownsSession = ({ session }: Exchange, principal: string): boolean =>
  session === undefined || (principal !== '' && session.principal === principal);

/** Worded as if there were none. */
export const noSession = (exchange: Pick<Exchange, 'message'>): Fault =>
  faultOf('request.unknown_session', { id: idIn(exchange) });

/** The message as it goes upstream. @param change replaces params by name @param receipt of the call, if there is one */
export function forwarded(
  { body, params }: { readonly body: JsonObject; readonly params: JsonObject },
  change: JsonObject = {},
  receipt?: string,
): string {
  const had = Object.hasOwn(body, 'params') || Object.keys(change).length > 0;
  if (!had && receipt === undefined) return canonical(body);
  const kept = withoutOwnMeta(params);
  if (receipt === undefined) return canonical({ ...body, params: { ...kept, ...change } });
  const meta = isObject(kept['_meta']) ? kept['_meta'] : {};
  const _meta = { ...meta, [RECEIPT_META]: receipt };
  return canonical({ ...body, params: { ...kept, ...change, _meta } });
}

export interface Sending {
  /** JSON text, '' for GET and DELETE. */
  readonly body: string;
  readonly signal: AbortSignal;
  readonly method?: 'POST' | 'GET' | 'DELETE';
  /** The answer may stay silent for any time: a stream that waits for events. */
  readonly silent?: boolean;
  /** Where a stream of the old era is taken up, as the upstream knows it. */
  readonly lastEventId?: string;
  readonly receipt?: string | undefined;
}

/** Sends to the upstream what may be passed on of a request. @throws UpstreamAway, NoCredential */
export function send(exchange: Exchange, sending: Sending): Promise<UpstreamResponse> {
  const { request, target, session, message, era } = exchange;
  const { body, signal, method = 'POST', silent = false, lastEventId, receipt } = sending;
  const headers: Record<string, string> = {
    ...(exchange.mirrored ?? mirroredHeaders(message, request.headers, era)),
    accept: method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream',
    ...(body === '' ? {} : { 'content-type': 'application/json' }),
    ...(session === undefined ? {} : { 'mcp-session-id': session.upstreamId }),
    ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    ...(receipt === undefined ? {} : { [RECEIPT_HEADER]: receipt }),
  };
  return target.send({ method, headers, body, signal, silent });
}

/** The agent's side, taken out of Fastify's hands: from here on nothing may throw. */
export function takeOver(
  { reply }: Pick<Exchange, 'reply'>,
  headers: Readonly<Record<string, string>> = {},
): Client {
  reply.hijack();
  const own: Record<string, string> = { ...headers };
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (typeof value === 'string') own[name] = value;
  }
  return { raw: reply.raw, headers: own };
}

/**
 * The signal that ends the way to the upstream. In the new era a client cancels by closing its stream; in the old one
 * a closed stream means nothing: what became of the call is still to be learned, for as long as an answer may take.
 */
export function signalOf(
  { reply, era, target }: Pick<Exchange, 'reply' | 'era' | 'target'>,
  controller = new AbortController(),
): AbortSignal {
  reply.raw.once('close', () => {
    if (reply.raw.writableFinished) return;
    if (era === '2026-07-28') controller.abort();
    // An upstream may keep a cancelled call's stream open for ever.
    else setTimeout(() => controller.abort(), target.timeoutMs).unref();
  });
  return controller.signal;
}

/** A request on its way to the upstream, which a kill switch may cut off. Whoever entered MUST leave. */
export interface Way extends Journey {
  readonly signal: AbortSignal;
  /** Aborts it. */
  readonly stop: () => void;
}

/** Enters the way. A stream that only listens ends with its client: nothing is to be learned from it any more. */
export function enterWay(
  exchange: Exchange,
  what: {
    readonly action: string;
    readonly listens: boolean;
    readonly scope: CallScope | undefined;
  },
): Way {
  const { parts, caller, target, stopping } = exchange;
  const { action, listens, scope = UNKNOWN_SCOPE } = what;
  const controller = new AbortController();
  const call = { tenant: caller.tenant, tool: action, upstream: target.name, ...scope };
  const stop = () => controller.abort();
  const journey = parts.inFlight.enter(call, stop);
  const signal = listens
    ? AbortSignal.any([signalOf({ ...exchange, era: '2026-07-28' }, controller), stopping])
    : signalOf(exchange, controller);
  return { ...journey, signal, stop };
}

/** A worker of an earlier version does not say whom the call is for. */
const UNKNOWN_SCOPE: CallScope = { actors: [], person: '', workflow: '', sessions: [] };

/** Why an upstream gave no answer, as a reason. @throws what is no failure of an upstream */
export function awayReason({ parts, target }: Exchange, error: unknown): Reason {
  if (error instanceof UpstreamAway) {
    return error.sent ? 'service.upstream_away' : 'service.upstream_unreachable';
  }
  if (!(error instanceof NoCredential)) throw error;
  parts.log.error({ upstream: target.name, why: error.message }, 'no credential for an upstream');
  return 'service.upstream_unreachable';
}

/** Ours to explain: the upstream refused our credential or sent us elsewhere. None of that concerns the agent. */
export const isForeign = ({ status }: UpstreamResponse): boolean =>
  status === 401 || status === 403 || status === 407 || (status >= 300 && status < 400);

/** The upstream has forgotten the session; a client opens another one when it is told so. */
export const isSessionGone = ({ session }: Exchange, { status }: UpstreamResponse): boolean =>
  status === 404 && session !== undefined;

export const idIn = ({ message }: Pick<Exchange, 'message'>): RequestId | null =>
  message.kind === 'request' ? message.id : null;

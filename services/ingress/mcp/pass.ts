/** Messages that are no calls: protocol, notifications, answers to the upstream's own requests, the old era's streams. */
import { setTimeout } from 'node:timers/promises';

import type { JsonObject } from '#contracts/json.ts';
import type { Reason } from '#contracts/reasons.ts';

import {
  awayReason,
  enterWay,
  type Exchange,
  forwarded,
  idIn,
  isForeign,
  isSessionGone,
  noSession,
  proveCaller,
  send,
  type Sending,
  signalOf,
  takeOver,
  type Way,
} from './exchange.ts';
import { faultOf, faultText } from './fault.ts';
import { elicitsUrls, isObject, TASKS_EXTENSION } from './message.ts';
import { changedResult, relay, type Settlement } from './relay.ts';
import { type Owed, openCursor } from './resume.ts';
import { sealSession } from './session.ts';
import { eventIdsOf, settle } from './settle.ts';
import type { UpstreamResponse } from './upstream.ts';

interface PassOptions {
  /** For the agent, beside those of every answer. */
  readonly headers?: (response: UpstreamResponse) => Readonly<Record<string, string>>;
  readonly answered?: Settlement['answered'];
  readonly settlement?: Settlement;
}

/** Sends and relays what is not judged. @throws Fault when the upstream gives no answer */
export async function pass(
  exchange: Exchange,
  sending: Sending,
  options: PassOptions = {},
): Promise<void> {
  const id = idIn(exchange);
  const response = await sent(exchange, sending).catch((error: unknown) => {
    throw faultOf(awayReason(exchange, error), { id });
  });
  const failed = faultOf('service.upstream_failed', { id });
  if (isForeign(response)) {
    response.body.destroy();
    const { status } = response;
    exchange.parts.log.error({ upstream: exchange.target.name, status }, 'an upstream refused us');
    throw failed;
  }
  if (isSessionGone(exchange, response)) {
    response.body.destroy();
    throw noSession(exchange);
  }
  const settlement = options.settlement ?? {
    id: id ?? undefined,
    answered: options.answered ?? (async ({ text }) => text),
    lost: async () => (id === null ? '' : faultText(failed)),
    // Only streams of allowed calls, and those of GET, can be taken up again.
    eventId: exchange.era === '2026-07-28' ? (eventId) => eventId : () => '',
  };
  await relay(takeOver(exchange, options.headers?.(response)), response, settlement);
}

/** Pauses before a stream is asked for again whose server has not seen yet that its earlier reader is gone. */
const TAKEN_PAUSES_MS = [50, 100, 200, 400, 800];

async function sent(exchange: Exchange, sending: Sending): Promise<UpstreamResponse> {
  const { lastEventId, signal } = sending;
  for (const pauseMs of lastEventId === undefined ? [] : TAKEN_PAUSES_MS) {
    const response = await send(exchange, sending);
    if (response.status !== 409) return response;
    response.body.destroy();
    // An agent that is gone meanwhile ends the next request.
    await setTimeout(pauseMs, undefined, { signal }).catch(() => undefined);
  }
  return send(exchange, sending);
}

/** The message of an exchange, for the upstream as it came. */
export function passedOn(exchange: Exchange): Sending {
  const { message } = exchange;
  const params = message.kind === 'response' ? {} : message.params;
  return { body: forwarded({ body: message.body, params }), signal: signalOf(exchange) };
}

/** initialize: the session that the upstream opens belongs to whoever proved to be asking. */
export async function initialize(exchange: Exchange): Promise<void> {
  const { principal } = await proveCaller(exchange);
  const { parts, target, message } = exchange;
  const opensUrls = message.kind === 'request' && elicitsUrls(message.params['capabilities']);
  const seal = (upstreamId: string) =>
    sealSession(parts.seal, target.name, { upstreamId, principal, opensUrls });
  await pass(exchange, passedOn(exchange), {
    headers: ({ sessionId }) => (sessionId === '' ? {} : { 'mcp-session-id': seal(sessionId) }),
  });
}

/** server/discover: what it says may differ by caller, so nobody on the way may share it. */
export async function discover(exchange: Exchange): Promise<void> {
  await proveCaller(exchange);
  await pass(exchange, passedOn(exchange), {
    answered: async (answer) => changedResult(answer, discovered),
  });
}

/** Held calls can be tasks, whether or not the upstream has tasks of its own. */
function discovered(result: JsonObject): JsonObject {
  const capabilities = isObject(result['capabilities']) ? result['capabilities'] : {};
  const extensions = isObject(capabilities['extensions']) ? capabilities['extensions'] : {};
  return {
    ...result,
    capabilities: { ...capabilities, extensions: { [TASKS_EXTENSION]: {}, ...extensions } },
    cacheScope: 'private',
  };
}

/** ping, notifications, and answers to what the upstream asked within a stream. */
export async function passProven(exchange: Exchange): Promise<void> {
  await proveCaller(exchange);
  await pass(exchange, passedOn(exchange));
}

/** DELETE of the old era: the session ends. */
export async function endSession(exchange: Exchange): Promise<void> {
  await proveCaller(exchange);
  await pass(exchange, { body: '', signal: signalOf(exchange), method: 'DELETE' });
}

/**
 * GET of the old era: events that belong to no request, or what a stream that ended early has still to say. It is cut
 * when its client is gone; what becomes of a call is learned by whoever comes back for it. @throws Fault
 */
export async function listen(exchange: Exchange): Promise<void> {
  const { scope } = await proveCaller(exchange);
  const way = enterWay(exchange, { action: '', listens: true, scope });
  try {
    if (way.killedBy() !== '') throw faultOf('capability.killed', { status: 403 });
    await listenOn(exchange, way);
  } finally {
    way.leave();
  }
}

async function listenOn(exchange: Exchange, way: Way): Promise<void> {
  const { request, session, parts } = exchange;
  const from = request.headers['last-event-id'];
  const cursor =
    typeof from === 'string' && session !== undefined
      ? openCursor(parts.seal, session, from)
      : undefined;
  if (from !== undefined && cursor === undefined) {
    throw faultOf('request.header', { detail: 'The Last-Event-ID is not known, or too old.' });
  }
  const owed = cursor?.owed ?? null;
  if (owed !== null) exchange.unresumed.takesUp(owed.decisionId);
  await pass(
    exchange,
    {
      body: '',
      signal: way.signal,
      method: 'GET',
      silent: true,
      ...(cursor === undefined ? {} : { lastEventId: cursor.eventId }),
    },
    { settlement: owed === null ? listening(exchange) : resuming(exchange, owed, way) },
  );
}

/** A stream that answers nothing; ids of its events carry no call. */
const listening = (exchange: Exchange): Settlement => ({
  id: undefined,
  answered: async ({ text }) => text,
  lost: async () => '',
  eventId: eventIdsOf(exchange, null),
});

/** The answer is settled as on the stream of its own call. An end without one changes nothing: it can be asked for again. */
function resuming(exchange: Exchange, owed: Owed, way: Way): Settlement {
  const tell = (code: Reason) => faultText(faultOf(code, { id: owed.id }));
  const settlement = settle(exchange, owed, { way, listens: false, meta: {}, tell });
  return {
    ...settlement,
    lost: async (why) => (way.killedBy() === '' ? '' : settlement.lost(why)),
    paused: () => way.killedBy() === '',
  };
}

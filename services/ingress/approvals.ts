/**
 * /v1/approvals/{handle}: an agent asks what became of its held call, waits a while for it, or withdraws it. The handle
 * is sealed, so it answers from the first moment and in any process; the call itself comes back as the same call.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { type ApprovalEntry, HELD_WORDS, toldAs } from '#contracts/approval.ts';
import { type HeldAnswer, HELD_WAIT_S_MAX } from '#contracts/http.ts';
import type { JsonObject } from '#contracts/json.ts';

import type { HeldPlace } from './held.ts';
import { refuse, Refused, sendJson } from './http.ts';
import type { Caller, Parts } from './routes.ts';
import { whoAsks } from './who-asks.ts';

interface HeldRequest {
  readonly Params: { readonly '*': string };
  readonly Querystring: { readonly wait?: unknown };
}

/** A held call that this caller may ask about. */
interface Asked extends HeldPlace {
  readonly principal: string;
}

export function heldRoutes(app: FastifyInstance, parts: Parts): void {
  // Before the server waits for its last requests: nobody is kept waiting by a process that ends.
  const stopping = new AbortController();
  app.addHook('preClose', async () => stopping.abort());
  // By a wildcard: a handle is longer than what a named part of a path may be.
  app.get<HeldRequest>('/v1/approvals/*', async (request, reply) => {
    const waitMs = waitOf(request.query.wait);
    const asked = await askedFor(parts, request, reply);
    if (asked === undefined) return reply;
    const signal = AbortSignal.any([goneOf(reply), stopping.signal]);
    const entry = await parts.held.settled(asked, waitMs, signal);
    const answer = { ...answerOf(asked, entry), ...(await editedIn(parts, asked, entry)) };
    return sendJson(reply, JSON.stringify(answer));
  });
  app.delete<HeldRequest>('/v1/approvals/*', async (request, reply) => {
    const asked = await askedFor(parts, request, reply);
    if (asked === undefined) return reply;
    await parts.held.withdraw(asked, asked.principal);
    return sendJson(reply, JSON.stringify(answerOf(asked, await parts.held.entry(asked))));
  });
}

/** @throws Refused request.schema */
function waitOf(text: unknown): number {
  if (text === undefined) return 0;
  const seconds = typeof text === 'string' && /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (seconds <= HELD_WAIT_S_MAX) return seconds * 1_000;
  throw new Refused('request.schema', `wait: whole seconds, at most ${HELD_WAIT_S_MAX}`);
}

/** Proves the caller and opens the handle; undefined after it has been refused. */
async function askedFor(
  parts: Parts,
  request: FastifyRequest<HeldRequest>,
  reply: FastifyReply,
): Promise<Asked | undefined> {
  const caller = parts.admit(request);
  const sealed = parts.seal.open('task', request.params['*']);
  const held = sealed?.held;
  if (sealed === undefined || held === undefined || Date.now() > sealed.expiresAt) {
    await refuse(reply, 'request.unknown_ref');
    return undefined;
  }
  const principal = await principalOf(parts, caller, request);
  if (principal.refused !== undefined || principal.digest !== sealed.principal) {
    await refuse(reply, principal.refused ?? 'request.unknown_ref');
    return undefined;
  }
  return { ...held, principal: sealed.principal };
}

async function principalOf(parts: Parts, caller: Caller, request: FastifyRequest) {
  const answer = await parts.ask(caller, whoAsks(request));
  if (answer.kind === 'refused') return { refused: answer.code, digest: '' };
  return { refused: undefined, digest: answer.kind === 'visible' ? answer.principal : '' };
}

function answerOf({ approval }: Asked, entry: ApprovalEntry | undefined): HeldAnswer {
  // Not stored yet: it waits, as its decision says.
  const state = entry === undefined ? 'pending' : toldAs(entry, Date.now());
  const { next, text } = HELD_WORDS[state];
  return {
    approval_id: entry?.approval_id ?? approval,
    state,
    next,
    message: text,
    ...(entry === undefined ? {} : { expires_at: new Date(entry.expires_at).toISOString() }),
    ...(entry === undefined || entry.note === '' ? {} : { note: entry.note }),
    ...(entry === undefined || entry.decision_id === ''
      ? {}
      : { used: { decision_id: entry.decision_id, effect: entry.effect || 'unknown' } }),
  };
}

/** What a person put in the place of the arguments; nothing while nobody can say it. */
async function editedIn(
  { held }: Parts,
  asked: Asked,
  entry: ApprovalEntry | undefined,
): Promise<Pick<HeldAnswer, 'edited'>> {
  if (entry?.state !== 'edited') return {};
  const call = await held.call(asked, asked.principal);
  if (call?.edited === undefined) return {};
  // Canonical JSON of an object, made by the platform.
  return { edited: { arguments: JSON.parse(call.edited) as JsonObject } };
}

/** Aborted when the caller is gone. */
function goneOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => controller.abort());
  return controller.signal;
}

/** Answers what other processes ask of held calls (contracts/held.ts). */
import {
  HELD_ASK_AGE_MS,
  HELD_ASKERS,
  HELD_PAGE_MAX,
  type HeldAsk,
  type HeldReply,
  parseHeldAsk,
  WAITING_CALLS_MAX,
} from '#contracts/held.ts';
import { parseTenantId, type TenantId } from '#contracts/ids.ts';
import { canonical } from '#contracts/json.ts';
import { checkMac, type MacKeys } from '#contracts/mac.ts';
import { HEADERS, HELD_QUEUE, inboxPrefix, SUBJECTS } from '#contracts/subjects.ts';
import type { Bus, Msg } from '#host/nats.ts';

import { type DecideParts, decideHeld, withdrawHeld } from './decide.ts';
import { readLeaf, readPayload } from './hold.ts';
import { planOfCall } from './plan.ts';
import { itemOf, previewOf } from './preview.ts';
import { take } from './steps.ts';
import { listGrants } from './store-edits.ts';
import { listOpen, listRows } from './store-lists.ts';
import { findByHandle } from './store.ts';

export interface ServeParts extends DecideParts {
  readonly keys: MacKeys;
}

type Refused = Extract<HeldReply, { ok: false }>;
const refused = (fault: Refused['fault']): Refused => ({ ok: false, fault, detail: '' });

/** Serves until drained. */
export function serveHeld(bus: Bus, parts: ServeParts): { readonly drain: () => Promise<void> } {
  let open = 0;
  const handle = async (message: Msg, reply: string) => {
    open += 1;
    try {
      bus.publish(reply, JSON.stringify(await answerTo(message, reply, parts)));
    } catch (error) {
      parts.log.warn({ err: error }, 'a held call could not be asked about');
      bus.publish(reply, JSON.stringify(refused('unavailable')));
    } finally {
      open -= 1;
    }
  };
  const subscription = bus.subscribe(SUBJECTS.helds, { queue: HELD_QUEUE }, (message) => {
    if (message.reply !== undefined) void handle(message, message.reply);
  });
  return {
    drain: async () => {
      await subscription.drain();
      while (open > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    },
  };
}

/** untrusted: everything, until the MAC proves the asker; then still its form, its age, and where the answer goes. */
async function answerTo(message: Msg, reply: string, parts: ServeParts): Promise<HeldReply> {
  const body = message.string();
  const tenant = parseTenantId(message.subject.split('.')[2] ?? '');
  const header = message.headers?.get(HEADERS.mac) ?? '';
  const signed = checkMac(parts.keys, { subject: message.subject, body, header });
  if ('fault' in signed || tenant === undefined) return refused('malformed');
  const ask = parseHeldAsk(body);
  if (ask === undefined || !HELD_ASKERS[ask.ask].includes(signed.writer))
    return refused('malformed');
  if (!reply.startsWith(`${inboxPrefix(signed.writer)}.`)) return refused('malformed');
  if (Math.abs(parts.now() - ask.at) > HELD_ASK_AGE_MS) return refused('malformed');
  return answer(parts, tenant, ask);
}

async function answer(parts: ServeParts, tenant: TenantId, ask: HeldAsk): Promise<HeldReply> {
  switch (ask.ask) {
    case 'list':
      return list(parts, tenant, ask);
    case 'grants':
      return grants(parts, tenant);
    case 'show':
      return show(parts, tenant, ask);
    case 'decide':
      return decideHeld(parts, tenant, ask);
    case 'call':
      return heldCallOf(parts, tenant, ask);
    case 'mine':
      return waitingOf(parts, tenant, ask);
    case 'withdraw':
      return withdrawHeld(parts, tenant, ask);
    case 'plan':
      return planOfCall(parts, tenant, ask);
    case 'unreached':
      return strandHeld(parts, tenant, ask);
  }
}

async function list(
  parts: ServeParts,
  tenant: TenantId,
  { state, before, limit }: Extract<HeldAsk, { ask: 'list' }>,
): Promise<HeldReply<'list'>> {
  const rows = await listRows(parts, tenant, { state, before, limit: limit + 1 });
  const items = rows.slice(0, limit).map(itemOf);
  return { ok: true, value: { items, more: rows.length > limit } };
}

async function grants(parts: ServeParts, tenant: TenantId): Promise<HeldReply<'grants'>> {
  const rows = await listGrants(parts, tenant, { at: parts.now(), limit: HELD_PAGE_MAX });
  return { ok: true, value: { items: rows.map(itemOf) } };
}

async function show(
  parts: ServeParts,
  tenant: TenantId,
  { approval }: Extract<HeldAsk, { ask: 'show' }>,
): Promise<HeldReply<'show'>> {
  const row = await findByHandle(parts, { tenant, id: approval });
  if (row === undefined) return refused('not_found');
  return { ok: true, value: await previewOf(parts.pool, row, parts.operators) };
}

/** Ends a call that nobody could be told of, unless somebody still will be or was heard of. */
async function strandHeld(
  parts: ServeParts,
  tenant: TenantId,
  { approval }: Extract<HeldAsk, { ask: 'unreached' }>,
): Promise<HeldReply<'unreached'>> {
  const place = { tenant, id: approval };
  const took = await take(parts, place, { is: 'strand', unreached: true });
  if (took === undefined || 'refusal' in took) return refused('not_found');
  return { ok: true, value: { state: took.row.state } };
}

async function waitingOf(
  parts: ServeParts,
  tenant: TenantId,
  { principal }: Extract<HeldAsk, { ask: 'mine' }>,
): Promise<HeldReply<'mine'>> {
  const rows = await listOpen(parts, tenant, {
    principal,
    at: parts.now(),
    limit: WAITING_CALLS_MAX,
  });
  const value = rows.map(({ state, progress: { summary }, expiresAt }) => ({
    approval_id: summary.approval_id,
    tool: summary.tool,
    upstream: summary.upstream,
    state: state as 'pending' | 'approved', // no others were asked for
    held_at: summary.held_at,
    expires_at: expiresAt,
  }));
  return { ok: true, value };
}

/** The call itself, for its own principal: with it the ingress asks a worker anew. */
async function heldCallOf(
  parts: ServeParts,
  tenant: TenantId,
  { approval, principal }: Extract<HeldAsk, { ask: 'call' }>,
): Promise<HeldReply<'call'>> {
  const row = await findByHandle(parts, { tenant, id: approval });
  if (row === undefined || row.facts.principal !== principal) return refused('not_found');
  const leaf = readLeaf(row.lines.leaf);
  const payload = leaf === undefined ? undefined : readPayload(leaf, row.lines.payload);
  if (payload === undefined) return refused('incomplete');
  const { summary } = row.progress;
  return {
    ok: true,
    value: {
      tool: summary.tool,
      upstream: summary.upstream,
      arguments: canonical(payload.sections.input.call.arguments),
      session_id: row.facts.session,
      task_id: row.facts.task,
      ...(row.progress.edit === undefined ? {} : { edited: row.progress.edit }),
    },
  };
}

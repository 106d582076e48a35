/** Channels, notices and dead letters for operators. This process records what they order and asks the notifier to do it. */
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';

import type { AdminErrorCode } from '#contracts/admin-errors.ts';
import { HELD_PAGE_MAX, type HeldPlan } from '#contracts/held.ts';
import type { TenantId } from '#contracts/ids.ts';
import { NOTIFY_OPERATIONS } from '#contracts/notify-api.ts';
import {
  type ChannelItem,
  NOTICE_STATES,
  type NoticeState,
  type NotifyAsk,
  type NotifyFault,
  type NotifyValues,
  parseNotifyReply,
} from '#contracts/notify.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { NotAnswered, type SignedRequest } from '#host/signed-request.ts';

import { type Handlers, mount } from './app.ts';
import type { AskHeld } from './approvals.ts';
import { readNumber } from './audit-query.ts';
import { changeBy, type RecordChange } from './change.ts';
import { AdminError } from './errors.ts';
import type { Routes } from './routes.ts';

const ERRORS: Readonly<Record<NotifyFault, AdminErrorCode>> = {
  not_found: 'channel.not_found',
  malformed: 'service.failed',
  unavailable: 'notifier.unavailable',
};
const PAGE = 50;
/** A vendor may take ten seconds to answer a test. */
const TIMEOUT_MS = 15_000;

type Ask<Name extends NotifyAsk['ask']> = Omit<Extract<NotifyAsk, { ask: Name }>, 'v' | 'at'>;
type AskNotifier = <Name extends NotifyAsk['ask']>(
  tenant: TenantId,
  ask: Ask<Name>,
) => Promise<NotifyValues[Name]>;

/** Asks the notifier. @throws AdminError channel.not_found, notifier.unavailable */
export function notifyAsker(request: SignedRequest): AskNotifier {
  return async <Name extends NotifyAsk['ask']>(tenant: TenantId, ask: Ask<Name>) => {
    const body = JSON.stringify({ v: 1, at: Date.now(), ...ask });
    const options = { timeoutMs: TIMEOUT_MS };
    const text = await request(SUBJECTS.notify(tenant), body, options).catch((cause: unknown) => {
      if (!(cause instanceof NotAnswered)) throw cause;
      throw new AdminError('notifier.unavailable', '', { cause });
    });
    const reply = parseNotifyReply<Name>(text);
    if (reply.ok) return reply.value;
    throw new AdminError(ERRORS[reply.fault]);
  };
}

export function notifyRoutes(notifier: AskNotifier, held: AskHeld): Routes {
  return (app: FastifyInstance, { deps, authenticate }) => {
    const handlers = notifyHandlers({ notifier, held }, deps.record);
    mount(app, { operations: NOTIFY_OPERATIONS, handlers, authenticate });
  };
}

function notifyHandlers(
  { notifier, held }: { readonly notifier: AskNotifier; readonly held: AskHeld },
  record: RecordChange,
): Handlers<typeof NOTIFY_OPERATIONS> {
  const order = changeBy(record);
  return {
    listChannels: ({ tenant }) => notifier<'channels'>(tenant, { ask: 'channels' }),
    testChannel: async ({ tenant, operator, path }) => {
      const channel = path['id'] ?? '';
      const { items } = await notifier<'channels'>(tenant, { ask: 'channels' });
      if (!items.some(({ name }) => name === channel)) throw new AdminError('channel.not_found');
      await order(
        { tenant, operator, reason: '' },
        { kind: 'notices', action: 'test', target: channel, value: null },
      );
      return notifier<'test'>(tenant, { ask: 'test', channel, by: operator.id });
    },
    listNotices: ({ tenant, query }) =>
      notifier<'list'>(tenant, {
        ask: 'list',
        state: stateOf(query['state']),
        limit: readNumber(query['limit'], { otherwise: PAGE, min: 1, max: HELD_PAGE_MAX }),
        before: readNumber(query['before'], { otherwise: 0, max: Number.MAX_SAFE_INTEGER }),
      }),
    replayNotices: async ({ tenant, operator, body }) => {
      await order(
        { tenant, operator, reason: '' },
        { kind: 'notices', action: 'replay', target: body.channel ?? '', value: { ...body } },
      );
      return notifier<'replay'>(tenant, { ask: 'replay', of: body });
    },
    planApproval: async ({ tenant, body }) => {
      const { arguments: args = {}, risk = 'medium', ...call } = body;
      const text = JSON.stringify(args);
      const plan = await held<'plan'>(tenant, { ask: 'plan', risk, arguments: text, ...call });
      const about = { ask: 'channels', call: { tool: call.tool, risk } } as const;
      const { items } = await notifier<'channels'>(tenant, about);
      return withChannels(plan, items);
    },
  };
}

/** Where a tier names no channel, those that want such a call. */
function withChannels(plan: Static<typeof HeldPlan>, items: readonly ChannelItem[]) {
  const known = new Map(items.map((item) => [item.name, item]));
  const wanting = items.filter(({ wants }) => wants).map(({ name }) => name);
  return {
    ...plan,
    tiers: plan.tiers.map((tier) => ({
      ...tier,
      channels: (tier.channels.length > 0 ? tier.channels : wanting).map((name) => {
        const item = known.get(name);
        return { name, kind: item?.kind ?? '', down: item?.down ?? false };
      }),
    })),
  };
}

/** @throws AdminError request.schema */
function stateOf(text = ''): NoticeState | '' {
  const state = NOTICE_STATES.find((known) => known === text);
  if (text !== '' && state === undefined)
    throw new AdminError('request.schema', 'There is no such state.');
  return state ?? '';
}

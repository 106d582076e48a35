/** Answers what admin asks of the notifier (contracts/notify.ts). */
import type pg from 'pg';

import { parseTenantId, type TenantId } from '#contracts/ids.ts';
import { checkMac, type MacKeys } from '#contracts/mac.ts';
import {
  type ChannelItem,
  NOTIFY_ASK_AGE_MS,
  type NotifyAsk,
  type NotifyReply,
  parseNotifyAsk,
} from '#contracts/notify.ts';
import { HEADERS, inboxPrefix, NOTIFY_QUEUE, SUBJECTS } from '#contracts/subjects.ts';
import type { Logger } from '#host/log.ts';
import type { Bus, Msg } from '#host/nats.ts';

import { baseUrl, type Channel, type Channels } from './channels.ts';
import { listNotices, readTallies, replay, type Tally } from './lists.ts';
import { sendTest, type TestParts } from './test-message.ts';

export interface ServeParts extends TestParts {
  readonly pool: pg.Pool;
  readonly channels: Channels;
  readonly keys: MacKeys;
  readonly log: Logger;
  readonly wake: () => void;
}

type Refused = Extract<NotifyReply, { ok: false }>;
const refused = (fault: Refused['fault']): Refused => ({ ok: false, fault });

/** Serves until drained. */
export function serveNotify(bus: Bus, parts: ServeParts): { readonly drain: () => Promise<void> } {
  const open = new Set<Promise<void>>();
  const handle = async (message: Msg, reply: string) => {
    const answer = await answerTo(message, reply, parts).catch((error: unknown) => {
      parts.log.warn({ err: error }, 'a question was not answered');
      return refused('unavailable');
    });
    bus.publish(reply, JSON.stringify(answer));
  };
  const subscription = bus.subscribe(SUBJECTS.notifies, { queue: NOTIFY_QUEUE }, (message) => {
    if (message.reply === undefined) return;
    const handling = handle(message, message.reply).finally(() => open.delete(handling));
    open.add(handling);
  });
  return {
    drain: async () => {
      await subscription.drain();
      await Promise.all(open);
    },
  };
}

/** untrusted: everything, until the MAC proves admin; then still its form, its age, and where the answer goes. */
async function answerTo(message: Msg, reply: string, parts: ServeParts): Promise<NotifyReply> {
  const { subject } = message;
  const body = message.string();
  const tenant = parseTenantId(subject.split('.')[2] ?? '');
  const header = message.headers?.get(HEADERS.mac) ?? '';
  const signed = checkMac(parts.keys, { subject, body, header });
  if ('fault' in signed || !reply.startsWith(`${inboxPrefix(signed.writer)}.`))
    return refused('malformed');
  const ask = parseNotifyAsk(body);
  const old = ask === undefined || Math.abs(parts.now() - ask.at) > NOTIFY_ASK_AGE_MS;
  if (tenant === undefined || old) return refused('malformed');
  return answer(parts, tenant, ask);
}

async function answer(parts: ServeParts, tenant: TenantId, ask: NotifyAsk): Promise<NotifyReply> {
  const { pool, channels } = parts;
  switch (ask.ask) {
    case 'channels': {
      const tallies = await readTallies(pool, tenant);
      const wanting = new Set(
        ask.call === undefined ? [] : channels.meant({ tenant, ...ask.call }),
      );
      const items = channels
        .list(tenant)
        .map((channel) => itemOf(channel, wanting.has(channel), tallies.get(channel.name)));
      return { ok: true, value: { items } };
    }
    case 'list':
      return { ok: true, value: await listNotices(pool, tenant, ask) };
    case 'replay': {
      const value = await replay(pool, tenant, { of: ask.of, now: parts.now() });
      parts.wake();
      return { ok: true, value };
    }
    case 'test': {
      const channel = channels.of(tenant, ask.channel);
      if (channel === undefined) return refused('not_found');
      return { ok: true, value: await sendTest(parts, { tenant, channel, by: ask.by }) };
    }
  }
}

const NOTHING: Tally = { down: false, since: 0, fault: '', due: 0, dead: 0 };

const itemOf = (channel: Channel, wants: boolean, tally: Tally = NOTHING): ChannelItem => ({
  name: channel.name,
  kind: channel.kind,
  // Only the host: a path may be a secret.
  to: channel.to ?? (URL.canParse(baseUrl(channel)) ? new URL(baseUrl(channel)).host : ''),
  risks: channel.risks ?? [],
  tools: channel.tools ?? [],
  people: Object.keys(channel.people ?? {}).length,
  wants,
  ...tally,
});

// Similar calls stand in one message, each decided by itself; a call that reaches nobody ends, and somebody hears of it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { type NotifyAsk, type NotifyReply, parseNotifyReply } from '#contracts/notify.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { readMacKeys } from '#host/keys.ts';
import { type SignedRequest, signedRequester } from '#host/signed-request.ts';
import { eventually } from '#test/support/approvals.ts';
import { buttonsOf, type FakeSlack, startFakeSlack } from '#test/support/fake-slack.ts';
import { type Notifying, startNotifying } from '#test/support/notifier.ts';

const SIGNING = 'a-signing-secret';
let slack: FakeSlack;
let all: Notifying;
let port: number;
let request: SignedRequest;
beforeAll(async () => {
  slack = await startFakeSlack({ token: 'xoxb-1', signingSecret: SIGNING });
  const chat = { kind: 'slack', url: slack.api };
  all = await startNotifying(
    [
      {
        ...chat,
        name: 'team',
        to: 'C0TEAM',
        people: { U0GRACE: 'grace' },
        risks: ['low'],
        secrets: { token: 'xoxb-1', signing: SIGNING },
      },
      { ...chat, name: 'broken', to: 'C0LOST', risks: [], secrets: { token: 'revoked' } },
    ],
    [slack.target],
  );
  const lost = { match: { risks: ['medium'] }, tiers: [{ channels: ['broken', 'nowhere'] }] };
  await all.held.world.put(CONTROL_KEYS.routes(all.held.world.tenant), {
    routes: [
      { name: 'lost', ...lost },
      { name: 'chat', match: { risks: ['low'] }, tiers: [{ channels: ['team', 'broken'] }] },
    ],
  });
  ({ port } = await all.startNotifier());
  const { world } = all.held;
  request = signedRequester(await world.bus('admin'), readMacKeys(world.macKeysFile));
}, 120_000);
afterAll(async () => {
  await all?.close();
  await slack?.close();
});

const messagesWith = (text: string) =>
  slack.messages().filter(({ blocks }) => JSON.stringify(blocks).includes(text));
const click = async (ts: string, action: string, approval: string): Promise<number> => {
  const { body, headers } = slack.click(ts, action, 'U0GRACE', approval);
  const url = `http://127.0.0.1:${port}/v1/callbacks/slack/${all.held.world.tenant}/team`;
  return (await fetch(url, { method: 'POST', headers, body })).status;
};
type Ask<Name extends NotifyAsk['ask']> = Omit<Extract<NotifyAsk, { ask: Name }>, 'v' | 'at'>;
const ask = async <Name extends NotifyAsk['ask']>(what: Ask<Name>): Promise<NotifyReply<Name>> => {
  const body = JSON.stringify({ v: 1, at: Date.now(), ...what });
  return parseNotifyReply<Name>(await request(SUBJECTS.notify(all.held.world.tenant), body));
};
const alerts = async () => {
  const rows = await all.held.query<{ entry: string }>(
    `select entry from chain_rows where kind = 'control.alert' order by sequence`,
  );
  return rows.map(({ entry }) => /"action":"(\w+)".*"target":"([^"]*)"/.exec(entry)?.slice(1));
};

describe('twelve similar calls', () => {
  it('are two messages, each call in one of them, decided by itself', async () => {
    const ids = await Promise.all(Array.from({ length: 12 }, (_, n) => all.hold(`low-${n}`)));
    await eventually(async () =>
      ids.every((id) => messagesWith(id).length === 1) ? true : undefined,
    );
    const messages = slack.messages();
    expect(messages.map(({ text }) => /\((\d+) similar/.exec(text)?.[1])).toEqual(['10', '2']);
    expect(slack.refused.filter((error) => error !== 'invalid_auth')).toEqual([]);
    const [first] = messages;
    expect(buttonsOf(first).map(({ action_id: id }) => id)).toEqual(
      Array.from({ length: 10 }, () => ['approve', 'deny', 'open']).flat(),
    );
    // Every link and every button is that of one call.
    const values = buttonsOf(first).map(({ value = '', url = '' }) => value || url);
    expect(new Set(values).size).toBe(20);

    const mine = ids.filter((id) => JSON.stringify(first).includes(id));
    const [yes = '', no = ''] = mine;
    for (const id of [yes, no]) {
      await eventually(async () => {
        const shown = await all.held.ask<'show'>({ ask: 'show', approval: id as never });
        return shown.ok && shown.value.shown !== '' ? true : undefined;
      });
    }
    expect(await click(first?.ts ?? '', 'approve', yes)).toBe(200);
    expect(await click(first?.ts ?? '', 'deny', no)).toBe(200);
    const told = await eventually(async () =>
      messagesWith('Approved by grace').find(({ blocks }) =>
        JSON.stringify(blocks).includes('Declined by grace'),
      ),
    );
    expect([told.ts, buttonsOf(told).length]).toEqual([first?.ts, 24]);
    const states = await Promise.all(
      [yes, no, ...mine.slice(2)].map(async (id) => (await all.held.entry(id))?.state),
    );
    expect(states).toEqual(['approved', 'denied', ...Array(8).fill('pending')]);
  }, 60_000);
});

describe('a call whose every channel is dead', () => {
  it('ends as no_channel, which is nobody’s no, and both are alerts in the chain', async () => {
    const lost = await all.hold('o-1');
    expect(await all.held.until(lost, 'no_channel')).toMatchObject({ note: '' });
    const raised = await eventually(async () => {
      const found = await alerts();
      return found.length === 3 ? found : undefined;
    });
    expect(new Set(raised.map(String))).toEqual(
      new Set(['channel_down,broken', 'channel_down,nowhere', `nobody_reached,${lost}`]),
    );
  }, 60_000);
});

describe('what an operator can do', () => {
  it('see how channels are and what is dead', async () => {
    const channels = await eventually(async () => {
      const found = await ask<'channels'>({ ask: 'channels' });
      return found.ok && found.value.items[1]?.due === 0 ? found : undefined;
    });
    const states = channels.ok
      ? channels.value.items.map(({ name, down, fault, dead }) => [name, down, fault, dead])
      : [];
    expect(states).toEqual([
      ['team', false, '', 0],
      ['broken', true, 'Slack: invalid_auth', 13],
    ]);
    const dead = await ask<'list'>({ ask: 'list', state: 'dead', limit: 2, before: 0 });
    const seen = dead.ok ? [dead.value.items[0], dead.value.more] : [];
    expect(seen).toEqual([
      expect.objectContaining({ kind: 'ask', event: 'reached', tool: 'refund_order' }),
      true,
    ]);
  });

  it('send a test, which nobody can decide by', async () => {
    const test = (channel: string) => ask<'test'>({ ask: 'test', channel, by: 'ada' });
    expect(await test('team')).toEqual({ ok: true, value: { sent: true, fault: '' } });
    expect(await test('broken')).toEqual({
      ok: true,
      value: { sent: false, fault: 'Slack: invalid_auth' },
    });
    expect(await test('nobody')).toEqual({ ok: false, fault: 'not_found' });
    const [message] = messagesWith('Test message');
    expect(buttonsOf(message).map(({ action_id: id }) => id)).toEqual(['open']);
  });

  it('send dead letters again, once the channel works, for calls that still wait', async () => {
    await all.secret('broken', 'token', 'xoxb-1');
    expect(await ask<'replay'>({ ask: 'replay', of: { channel: 'broken' } })).toEqual({
      ok: true,
      value: { replayed: 10, over: 3 },
    });
    const arrived = () => slack.messages().filter(({ channel }) => channel === 'C0LOST');
    await eventually(async () => (arrived().length === 2 ? true : undefined));
    expect(new Set(arrived().map(({ text }) => /\((\d+) similar/.exec(text)?.[1]))).toEqual(
      new Set(['8', '2']),
    );
    await eventually(async () => {
      const raised = (await alerts()).map(String);
      return raised.includes('channel_works,broken') ? true : undefined;
    });
  });

  it('only with a request of now', async () => {
    const { world } = all.held;
    const old = JSON.stringify({ v: 1, at: Date.now() - 60_000, ask: 'channels' });
    expect(parseNotifyReply(await request(SUBJECTS.notify(world.tenant), old))).toEqual({
      ok: false,
      fault: 'malformed',
    });
  });
});

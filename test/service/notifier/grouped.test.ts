// Similar calls stand in one message, each decided by itself; a call that reaches nobody ends, and somebody hears of it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { eventually } from '#test/support/approvals.ts';
import { buttonsOf, type FakeSlack, startFakeSlack } from '#test/support/fake-slack.ts';
import { type Notifying, startNotifying } from '#test/support/notifier.ts';

const SIGNING = 'a-signing-secret';
let slack: FakeSlack;
let all: Notifying;
let port: number;
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
      { name: 'chat', match: { risks: ['low'] } },
    ],
  });
  ({ port } = await all.startNotifier());
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
    expect(slack.refused).toEqual([]);
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

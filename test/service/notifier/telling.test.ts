// A held call reaches people: as Slack and a webhook get it, once each, changed in place, and not lost while they are away.

import { createHmac } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { eventually } from '#test/support/approvals.ts';
import { type FakeServer, type Received, serveFake } from '#test/support/fake-http.ts';
import { buttonsOf, type FakeSlack, startFakeSlack } from '#test/support/fake-slack.ts';
import { type Notifying, startNotifying } from '#test/support/notifier.ts';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const SIGNING = 'a-signing-secret';

let slack: FakeSlack;
let hook: FakeServer;
const hooked: Received[] = [];
let all: Notifying;
let port: number;
beforeAll(async () => {
  slack = await startFakeSlack({ token: 'xoxb-1', signingSecret: SIGNING });
  hook = await serveFake((received) => {
    hooked.push(received);
    return { status: 204 };
  });
  all = await startNotifying(
    [
      {
        name: 'team',
        kind: 'slack',
        url: slack.api,
        to: 'C0TEAM',
        group_s: 0,
        people: { U0ADA: 'ada', U0GRACE: 'grace' },
        secrets: { token: 'xoxb-1', signing: SIGNING },
      },
      { name: 'hook', kind: 'webhook', url: `${hook.url}/in`, secrets: { secret: SECRET } },
    ],
    [slack.target, hook.target],
  );
  ({ port } = await all.startNotifier());
}, 120_000);
afterAll(async () => {
  await all?.close();
  await slack?.close();
  await hook?.close();
});

const messageOf = (approval: string, texts = '') =>
  eventually(async () =>
    slack
      .messages()
      .find(
        (message) =>
          JSON.stringify(message.blocks).includes(approval) &&
          JSON.stringify(message).includes(texts),
      ),
  );
const click = async (ts: string, action: string, user: string) => {
  const { body, headers } = slack.click(ts, action, user);
  const url = `http://127.0.0.1:${port}/v1/callbacks/slack/${all.held.world.tenant}/team`;
  const send = () => fetch(url, { method: 'POST', headers, body });
  return { send, status: (await send()).status };
};

describe('a held call', () => {
  it('is a message with a link, and without buttons unless it is of low risk', async () => {
    const high = await messageOf(await all.hold('o-1'));
    const low = await messageOf(await all.hold('low-1'));
    const ids = (message: typeof high) => buttonsOf(message).map(({ action_id: id }) => id);
    expect([ids(high), ids(low)]).toEqual([['open'], ['approve', 'deny', 'open']]);
    expect(slack.refused).toEqual([]);
  });

  it('is a webhook that is signed as Standard Webhooks says', async () => {
    const approval = await all.hold('o-2');
    const { headers, body } = await eventually(async () =>
      hooked.find((received) => received.body.includes(approval)),
    );
    const { type, data } = JSON.parse(body) as { type: string; data: Record<string, unknown> };
    expect([type, data['approval_id'], data['effect'], data['state']]).toEqual([
      'approval.reached',
      approval,
      'Refund 9.',
      'pending',
    ]);
    const mac = createHmac('sha256', Buffer.alloc(32, 7));
    mac.update(`${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`);
    expect(headers['webhook-signature']).toBe(`v1,${mac.digest('base64')}`);
  });

  it('is approved by a click, once, and its message changes in place', async () => {
    const approval = await all.hold('low-2');
    const { ts } = await messageOf(approval);
    await eventually(async () => {
      const shown = await all.held.ask<'show'>({ ask: 'show', approval: approval as never });
      return shown.ok && shown.value.shown !== '' ? true : undefined;
    });
    const clicked = await click(ts, 'approve', 'U0GRACE');
    expect(clicked.status).toBe(200);
    const again = await clicked.send();
    expect(again.status).toBe(409);
    await all.held.until(approval, 'approved');
    const changed = await messageOf('', 'Approved by grace');
    expect([changed.ts, changed.edits, buttonsOf(changed)]).toEqual([ts, 1, []]);
  });

  it('is not decided by somebody whom nobody knows, who is told so alone', async () => {
    const approval = await all.hold('low-3');
    const { ts } = await messageOf(approval);
    expect((await click(ts, 'approve', 'U0MALLORY')).status).toBe(403);
    await eventually(async () => slack.whispers.find((text) => text.includes('linked')));
    expect((await all.held.entry(approval))?.state).toBe('pending');
  });

  it('waits while Slack is away or wants to be left alone, and is asked once', async () => {
    const before = slack.messages().length;
    slack.failNext(
      { status: 503 },
      { status: 429, headers: { 'retry-after': '1' } },
      { status: 200, body: '{"ok":false,"error":"internal_error"}' },
    );
    await messageOf(await all.hold('low-4'));
    expect(slack.messages().length).toBe(before + 1);
  });

  it('is asked again after a crash at most once, and says that it may be a repeat', async () => {
    // As a process leaves it that dies between the message and its note.
    const approval = await all.hold('low-5');
    await messageOf(approval);
    const lost = `update notices set state = 'due', started_at = 1, due_at = 0 where approval = $1`;
    const forget = `update notice_messages set place = '', message = '' where approval = $1`;
    const noted = () =>
      eventually(async () => {
        const [open] = await all.held.query(
          `select from notices where approval = $1 and channel = 'team' and state = 'due'`,
          [approval],
        );
        return open === undefined ? true : undefined;
      });
    await noted();
    for (const sql of [forget, lost]) await all.held.query(sql, [approval]);
    const repeat = await messageOf(approval, 'may be a repeat');
    await noted();
    for (const sql of [forget, lost]) await all.held.query(sql, [approval]);
    await eventually(async () => {
      const [dead] = await all.held.query<{ fault: string }>(
        `select fault from notices where approval = $1 and channel = 'team' and state = 'dead'`,
        [approval],
      );
      return dead?.fault;
    });
    const asked = slack
      .messages()
      .filter(({ blocks }) => JSON.stringify(blocks).includes(approval));
    expect(asked.map(({ ts }) => ts).at(-1)).toBe(repeat.ts);
    expect(asked).toHaveLength(2);
  });
});

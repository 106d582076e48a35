// More is told than a channel takes: everything arrives in the end, nothing dies, and the channel does not count as down.

import { afterAll, beforeAll, expect, it } from 'vitest';

import { eventually } from '#test/support/approvals.ts';
import { type FakeSlack, startFakeSlack } from '#test/support/fake-slack.ts';
import { type Notifying, startNotifying } from '#test/support/notifier.ts';

const CALLS = 12;
let slack: FakeSlack;
let all: Notifying;
beforeAll(async () => {
  slack = await startFakeSlack({ token: 'xoxb-1', signingSecret: 's', burst: 1 });
  const team = { name: 'team', kind: 'slack', url: slack.api, to: 'C0TEAM', risks: ['low'] };
  all = await startNotifying(
    [{ ...team, group_s: 0, secrets: { token: 'xoxb-1', signing: 's' } }],
    [slack.target],
  );
  await all.held.person('grace');
}, 120_000);
afterAll(async () => {
  await all?.close();
  await slack?.close();
});

it(`${CALLS} messages at once for one that takes one a second`, async () => {
  const ids = await Promise.all(Array.from({ length: CALLS }, (_, n) => all.hold(`low-${n}`)));
  await all.startNotifier();
  await eventually(async () => (slack.posts.length === CALLS ? true : undefined), 120_000);
  const asked = slack.posts.map(({ blocks }) => JSON.stringify(blocks));
  expect(ids.filter((id) => asked.filter((text) => text.includes(id)).length !== 1)).toEqual([]);
  const states = await all.held.query<{ state: string }>(
    `select distinct state from notices where kind = 'ask'`,
  );
  const down = await all.held.query('select from notice_channels');
  // One burst was refused, then it went at the pace of the channel.
  expect({ states, down, refusals: slack.limited() <= CALLS }).toEqual({
    states: [{ state: 'sent' }],
    down: [],
    refusals: true,
  });
}, 180_000);

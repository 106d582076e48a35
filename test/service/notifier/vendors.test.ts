// PagerDuty and Teams as they take it: one incident for each held call, one card for its question and one for its end.

import { afterAll, beforeAll, expect, it } from 'vitest';

import { eventually } from '#test/support/approvals.ts';
import { type FakeVendor, startFakePagerDuty, startFakeTeams } from '#test/support/fake-vendors.ts';
import { type Notifying, startNotifying } from '#test/support/notifier.ts';

const KEY = 'r'.repeat(32);
let pager: FakeVendor;
let teams: FakeVendor;
let all: Notifying;
beforeAll(async () => {
  [pager, teams] = await Promise.all([startFakePagerDuty(KEY), startFakeTeams()]);
  all = await startNotifying(
    [
      { name: 'pager', kind: 'pagerduty', url: pager.url, secrets: { key: KEY } },
      { name: 'cards', kind: 'teams', secrets: { url: `${teams.url}/workflows/1` } },
    ],
    [pager.target, teams.target],
  );
  await all.startNotifier();
}, 120_000);
afterAll(async () => {
  await all?.close();
  await pager?.close();
  await teams?.close();
});

it('PagerDuty has an incident that is acknowledged and resolved, Teams two cards', async () => {
  const approval = await all.hold('o-1');
  await all.held.until(approval, 'pending');
  await all.held.step(approval, 'acknowledge');
  await all.held.step(approval, 'deny');
  await eventually(async () =>
    pager.taken.length === 3 && teams.taken.length === 2 ? true : undefined,
  );
  expect(pager.taken.map((event) => [event['event_action'], event['dedup_key']])).toEqual([
    ['trigger', approval],
    ['acknowledge', approval],
    ['resolve', approval],
  ]);
  const [asked, ended] = teams.taken.map((card) => JSON.stringify(card));
  expect([asked?.includes('Refund 9.'), asked?.includes(approval)]).toEqual([true, true]);
  expect(ended).toContain('Declined by ada');
});

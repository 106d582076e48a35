// Changing a held call and granting repeats of it, by the command line, over the whole system.

import { afterAll, beforeAll, expect, it } from 'vitest';

import type { ApprovalItem } from '#contracts/held.ts';
import { runAs } from '#test/support/command-line.ts';
import { type Live, startLive } from '#test/support/live.ts';

let live: Live;
beforeAll(async () => {
  live = await startLive();
}, 120_000);
afterAll(() => live?.close());

/** Runs the command line as one of the demo's operators; its output, or what it says when it refuses. */
async function countersign(as: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runAs(live, as)(...args);
  return code === 0 ? stdout : stderr;
}

async function refund(amount: number) {
  const args = { order_id: 'ord_1002', amount };
  const { body } = await live.call({ tool: 'refund_order', arguments: args });
  return {
    verdict: String(body.verdict),
    decision: String(body.decision_id),
    held: String(body['approval_id']),
  };
}

it('a refund is changed, approved by another person with a grant, repeated, and no more than that', async () => {
  const first = await refund(450);
  expect(first.verdict).toBe('escalate');
  const changed = '{"amount":300,"order_id":"ord_1002"}';
  expect(
    await countersign('ada', 'approvals', 'edit', first.held, '--arguments', changed),
  ).toContain('changed; its agent is told');
  await expect.poll(async () => (await refund(450)).verdict, { timeout: 20_000 }).toBe('block');

  const { verdict, held } = await refund(300);
  expect(verdict).toBe('escalate');
  await expect
    .poll(async () => (await live.admin('GET', `approvals/${held}`)).status, { timeout: 20_000 })
    .toBe(200);
  expect(await countersign('ada', 'approvals', 'approve', held)).toContain('You asked for this');
  const granting = ['--repeats', '2', '--for', '10m', '--bound', '/amount=100..400'];
  const approved = await countersign('grace', 'approvals', 'approve', held, ...granting);
  expect(approved).toContain(`changed from  ${first.held}, by ada`);
  expect(approved).toContain('approved; it runs when its agent sends it again, once');

  const released = { verdict: '', decision: '' };
  const again = async () => Object.assign(released, await refund(300)).verdict;
  await expect.poll(again, { timeout: 20_000 }).toBe('allow');
  await expect
    .poll(() => countersign('ada', 'approvals', 'show', held), { timeout: 20_000 })
    .toMatch(
      new RegExp(`^used [^]*released +\\S+ {2}by decision ${released.decision}; its outcome is`),
    );
  expect(await countersign('ada', 'approvals', 'grants')).toContain(
    '2 more within 10 min, where only /amount=100..400 may differ',
  );
  // The grant comes to the workers a moment after the approval; what was held before it stays held.
  let amount = 200;
  const another = async () => (await refund((amount += 1))).verdict;
  await expect.poll(another, { timeout: 20_000, interval: 250 }).toBe('allow');
  const repeats = [await refund(301), await refund(302)];
  expect(repeats.map((one) => one.verdict)).toEqual(['allow', 'escalate']);
  const replay = async () => countersign('ada', 'replay', repeats[0]!.decision, '--json');
  await expect.poll(replay, { timeout: 20_000 }).toContain('"identical": true');
}, 120_000);

it('a grant ends when somebody revokes it', async () => {
  const { held } = await refund(410);
  await expect
    .poll(async () => (await live.admin('GET', `approvals/${held}`)).status, { timeout: 20_000 })
    .toBe(200);
  await countersign('grace', 'approvals', 'approve', held, '--repeats', '5', '--for', '10m');
  const grants = async () =>
    (
      JSON.parse(await countersign('ada', 'approvals', 'grants', '--json')) as {
        items: ApprovalItem[];
      }
    ).items;
  await expect.poll(async () => (await grants()).length, { timeout: 20_000 }).toBe(1);
  const [grant] = await grants();
  const said = await countersign('ada', 'approvals', 'revoke', grant!.approval_id);
  expect(said).toContain('ended; from now on people are asked again');
  expect(await grants()).toEqual([]);
  expect(await live.verify()).toBeUndefined();
}, 120_000);

it('whoever runs it sees how channels are, tests one, and sees who would be asked', async () => {
  const notify = (...args: readonly string[]) => countersign('grace', 'notify', ...args);
  const started = async () => notify('channels');
  await expect.poll(started, { timeout: 20_000 }).toMatch(/team-chat +slack +C\w+ +works/);
  expect(await notify('test', 'team-chat')).toContain('sent; look whether it arrived');
  expect(await notify('test', 'nowhere')).toContain('There is no such channel.');
  expect(await notify('dead')).toContain('nothing is dead');
  expect(await notify('replay', '--channel', 'team-chat')).toContain('0 will be sent again');
  const asked = await notify('routes', 'refund_order', '--person', 'ada', '--arguments', '{"a":1}');
  expect(asked).toMatch(/stage 1: 1 of grace\n {2}at once tier 1: team-chat/);
  const events = () => countersign('ada', 'audit', 'list', '--kind', 'control.notices');
  await expect.poll(events, { timeout: 20_000 }).toMatch(/test[^]*replay/);
  expect(await live.verify()).toBeUndefined();
}, 120_000);

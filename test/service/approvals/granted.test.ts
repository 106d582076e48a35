// Grants: repeats of an approved call without a question for each, counted, bounded, revocable, for a while.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { GrantTerms } from '#contracts/approval-grant.ts';
import { heldAs } from '#contracts/approval.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { asApprovalId } from '#contracts/ids.ts';
import {
  type Approvals,
  decided,
  eventually,
  HOLD_REFUNDS,
  startApprovals,
  told,
} from '#test/support/approvals.ts';

const POLICY = `${HOLD_REFUNDS}
extra := {"risk": "critical"} if input.call.arguments.amount == 666
extra := {"quorum": 2} if input.call.arguments.amount == 2
extra := {"risk": "high"} if input.call.arguments.amount == 7
`;

let held: Approvals;
beforeAll(async () => {
  held = await startApprovals({ workers: 2, services: 2 });
  await held.world.activate(POLICY);
}, 120_000);
afterAll(async () => held?.close());
/** What one test grants covers the calls of the next. One whose last use is counted meanwhile is not cancelled any more. */
afterEach(async () => {
  const listed = await held.ask<'grants'>({ ask: 'grants' });
  for (const { approval_id: grant } of listed.ok ? listed.value.items : []) {
    await held.step(grant, 'cancel');
    await eventually(async () => {
      const entry = await held.entry(grant);
      return entry === undefined || heldAs(entry, Date.now()) === 'approved' ? undefined : entry;
    });
  }
});

let number = 0;
const refund = (amount = 10, order = `ord_${++number}`) => ({
  tool: 'refund_order',
  args: { amount, order_id: order },
});

const TERMS: GrantTerms = {
  uses: 3,
  for_s: 600,
  bounds: [
    { path: '/amount', min: 1, max: 50 },
    { path: '/order_id', prefix: 'ord_' },
  ],
};

/** Approves a fresh call with a grant; gives the ids of both. */
async function granted(terms = TERMS, call = refund()) {
  const [, , id] = told(await held.world.ask(call));
  await held.until(id, 'pending');
  const reply = await held.approve(id, 'ada', terms);
  expect(reply).toMatchObject({ ok: true, value: { state: 'approved' } });
  const grant = await eventually(async () => {
    const listed = await held.ask<'grants'>({ ask: 'grants' });
    return listed.ok ? listed.value.items.find((item) => item.grant?.of === id) : undefined;
  });
  await held.until(grant.approval_id, 'approved');
  return { call, id, grant: grant.approval_id };
}

const end = (grant: string) => held.step(grant, 'revoke', 'grace', 'that was enough');

/** Whether a call runs, and under what. */
async function ask(call: ReturnType<typeof refund>) {
  const answer = await held.world.ask(call);
  return told(answer)[0];
}

describe('a grant', () => {
  it('lets repeats within its bounds run, as many as it says, and then people are asked', async () => {
    const { call, id, grant } = await granted();
    expect(await ask(call)).toBe('allow'); // the approved call itself, which the grant does not count
    for (const amount of [1, 50, 25]) expect(await ask(refund(amount))).toBe('allow');
    expect(await ask(refund(20))).toBe('escalate');
    const rows = await eventually(async () => {
      const found = await held.query<{ k: number; decision_id: string }>(
        'select k, decision_id from approval_uses where id = $1 order by k',
        [grant],
      );
      return found.length === 3 ? found : undefined;
    });
    expect(rows.map(({ k }) => k)).toEqual([1, 2, 3]);
    const leaf = await eventually(async () => {
      const [found] = await held.query<{ entry: string }>(
        `select entry from chain_rows where kind = 'decision' and record_id = $1`,
        [rows[0]?.decision_id],
      );
      return found?.entry;
    });
    expect(leaf).toContain(`"grant":"${grant}"`);
    expect(leaf).toContain(`"resumes":"${grant}"`);
    await eventually(async () => ((await held.entry(id))?.used === 1 ? true : undefined));
  });

  it('is used at most its number of times by racing agents', async () => {
    const { grant } = await granted();
    const answers = await Promise.all(Array.from({ length: 24 }, () => ask(refund(5))));
    expect(answers.filter((verdict) => verdict === 'allow').length).toBe(3);
    expect(answers.filter((verdict) => verdict === 'escalate').length).toBe(21);
    await eventually(async () => ((await held.entry(grant))?.used === 3 ? true : undefined));
  });

  it.each<[string, object]>([
    ['a value above its bound', { amount: 51 }],
    ['text that begins otherwise', { order_id: 'x_ord_1' }],
    ['another risk', { amount: 7 }],
    ['another quorum', { amount: 2 }],
  ])('does not cover %s', async (_, args) => {
    await granted();
    const call = refund();
    expect(await ask({ ...call, args: { ...call.args, ...args } })).toBe('escalate');
    expect(await ask(refund(5))).toBe('allow');
  });

  it('does not cover another person or workflow', async () => {
    await granted();
    for (const identity of [{ sub: 'mallory@example.com' }, { claims: { workflow: 'other' } }]) {
      const other = await held.world.ask({
        ...refund(5),
        identity: await held.world.identity(identity),
      });
      expect(told(other)[0]).toBe('escalate');
    }
    expect(await ask(refund(5))).toBe('allow');
  });

  it('is ended by a person', async () => {
    const { grant } = await granted();
    expect(await end(grant)).toMatchObject({ ok: true, value: { state: 'cancelled' } });
    await held.until(grant, 'cancelled');
    expect(await ask(refund(5))).toBe('escalate');
  });

  it('is ended by its time', async () => {
    const { grant } = await granted();
    await held.query('update approvals set expires_at = $2, wake_at = $2 where id = $1', [
      grant,
      Date.now(),
    ]);
    await held.until(grant, 'expired');
    expect(await ask(refund(5))).toBe('escalate');
  });

  it('is ended by a kill switch', async () => {
    const { world } = held;
    const { grant } = await granted();
    const place = CONTROL_KEYS.switch(world.tenant, 'agent', 'shop-agent');
    await world.put(place, { scope: 'agent' });
    await held.until(grant, 'cancelled');
    await world.put(place, null);
    expect(await ask(refund(5))).toBe('escalate');
  });

  it('is ended by another policy, also when its own comes back', async () => {
    const { world } = held;
    const { grant } = await granted();
    await world.activate(`${POLICY}\n# another`);
    await held.until(grant, 'superseded');
    expect(await ask(refund(5))).toBe('escalate');
    await world.activate(POLICY);
    expect(await ask(refund(5))).toBe('escalate');
  });

  it('takes the place of an earlier one for the same work', async () => {
    const first = await granted();
    const bounds = [{ path: '/amount', min: 1, max: 200 }];
    await granted({ ...TERMS, bounds }, refund(100));
    await held.until(first.grant, 'cancelled');
  });

  it.each<[string, GrantTerms, number, string]>([
    ['for the highest risk', { ...TERMS, bounds: [] }, 666, 'impossible'],
    ['that does not cover the call itself', TERMS, 51, 'impossible'],
    [
      'over an argument and a part of it',
      { ...TERMS, bounds: [...TERMS.bounds, { path: '/order_id', prefix: 'ord' }] },
      10,
      'impossible',
    ],
    [
      'over an argument that is not there',
      { ...TERMS, bounds: [{ path: '/x', prefix: '' }] },
      10,
      'impossible',
    ],
    ['for too long', { ...TERMS, for_s: 86_401 }, 10, 'malformed'],
    ['for too many', { ...TERMS, uses: 101 }, 10, 'malformed'],
  ])('cannot be given %s', async (_, terms, amount, fault) => {
    const [, , id] = told(await held.world.ask(refund(amount)));
    await held.until(id, 'pending');
    expect(await held.approve(id, 'ada', terms)).toMatchObject({ ok: false, fault });
    expect((await held.entry(id))?.state).toBe('pending');
  });

  it('is agreed to by all who say yes: a later one cannot add or widen it, and sees it', async () => {
    const call = refund(2);
    const [, , id] = told(await held.world.ask(call));
    await held.until(id, 'pending');
    const exactly = { ...TERMS, bounds: [] };
    expect(await held.approve(id, 'ada')).toMatchObject({ ok: true, value: { state: 'pending' } });
    expect(await held.approve(id, 'grace', exactly)).toMatchObject({ fault: 'incomplete' });
    expect(await held.approve(id, 'grace')).toMatchObject({ value: { state: 'approved' } });

    const other = refund(2);
    const [, , otherId] = told(await held.world.ask(other));
    await held.until(otherId, 'pending');
    await held.approve(otherId, 'ada', exactly);
    const wider = { ...exactly, uses: 4 };
    expect(await held.approve(otherId, 'grace', wider)).toMatchObject({ fault: 'incomplete' });
    const reply = await held.ask<'show'>({ ask: 'show', approval: asApprovalId(otherId) });
    expect(reply).toMatchObject({ value: { grant: { ...exactly, of: otherId } } });
    expect(await held.approve(otherId, 'grace')).toMatchObject({ value: { state: 'approved' } });
    await held.until(otherId, 'approved');
    for (let times = 0; times < 4; times++) {
      await eventually(async () => ((await ask(other)) === 'allow' ? true : undefined));
    }
    expect(decided(await held.world.ask(other)).verdict).not.toBe('allow');
  });

  it('is ended by nobody without a role, and a call that waits is not a grant', async () => {
    const { grant } = await granted();
    expect(await held.step(grant, 'revoke', 'nobody')).toMatchObject({ fault: 'not_approver' });
    const [, , id] = told(await held.world.ask(refund(99)));
    await held.until(id, 'pending');
    expect(await held.step(id, 'revoke')).toMatchObject({ fault: 'not_found' });
  });
});

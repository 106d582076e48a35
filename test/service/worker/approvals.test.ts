// From a held call to its one release, over a real broker, database, worker, chainer and approval service.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

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
import { TOOLS } from '#test/support/world.ts';

let held: Approvals;
beforeAll(async () => {
  held = await startApprovals({ workers: 2, services: 2 });
  const { world } = held;
  await world.put(CONTROL_KEYS.agent(world.tenant, 'planner'), {
    class: 'shop',
    issuer: 'idp',
    grant: { tools: ['refund_order'] },
  });
  await world.activate(HOLD_REFUNDS);
}, 120_000);
afterAll(async () => held?.close());

let number = 0;
const refund = (amount = 10, order = `ord_${++number}`) => ({
  tool: 'refund_order',
  args: { amount, order_id: order },
});

describe('a held call', () => {
  it('is approved, released once, and refused after that', async () => {
    const call = refund();
    const [verdict, code, id] = told(await held.world.ask(call));
    expect([verdict, code]).toEqual(['escalate', 'policy.needs_approval']);
    await held.until(id, 'pending');
    expect(told(await held.world.ask(call))).toEqual(['escalate', 'policy.needs_approval', id]);
    expect(await held.approve(id)).toMatchObject({ ok: true, value: { state: 'approved' } });
    await held.until(id, 'approved');
    const released = decided(await held.world.ask(call));
    expect([released.verdict, released.reason.code]).toEqual(['allow', 'policy.approved']);
    expect(released.obligations).toEqual([{ type: 'tag', name: 'refund', value: 'yes' }]);
    expect(told(await held.world.ask(call)).slice(0, 2)).toEqual(['block', 'approval.used']);
    const entry = await eventually(async () => {
      const now = await held.entry(id);
      return now?.used === 1 ? now : undefined;
    });
    expect(entry).toMatchObject({ state: 'approved', used: 1, decision_id: released.decision_id });
    expect(told(await held.world.ask(call)).slice(0, 2)).toEqual(['block', 'approval.used']);
  });

  it('that is declined says so, with the words of the person, until it would have expired', async () => {
    const call = refund();
    const [, , id] = told(await held.world.ask(call));
    await held.until(id, 'pending');
    await held.step(id, 'deny', 'grace', 'Ask the customer for the receipt first.');
    await held.until(id, 'denied');
    const { verdict, reason } = decided(await held.world.ask(call));
    expect([verdict, reason.code, reason.message]).toEqual([
      'block',
      'approval.denied',
      'Ask the customer for the receipt first.',
    ]);
  });

  it('is found again by every repeat of it, and people are asked once', async () => {
    const call = refund();
    const answers = await Promise.all(Array.from({ length: 20 }, () => held.world.ask(call)));
    const ids = new Set(answers.map((answer) => told(answer)[2]));
    for (const id of ids) await held.until(id, 'pending');
    const approvals = new Set<string>();
    for (const id of ids) approvals.add((await held.entry(id))?.approval_id ?? '');
    expect(approvals.size).toBe(1);
    const [first = ''] = ids;
    await held.approve(first);
    for (const id of ids) await held.until(id, 'approved');
  });

  it.each<[string, { readonly args?: object; readonly identity?: object }]>([
    ['another amount', { args: { amount: 11 } }],
    ['another order', { args: { order_id: 'ord_other' } }],
    ['another person', { identity: { sub: 'mallory@example.com' } }],
    ['another workflow', { identity: { claims: { workflow: 'other' } } }],
    [
      'another chain of actors, each with a grant',
      { identity: { act: { sub: 'shop-agent', act: { sub: 'planner' } } } },
    ],
  ])('is not released for %s, and still is for itself', async (_, { args = {}, identity }) => {
    const call = refund();
    const [, , id] = told(await held.world.ask(call));
    await held.until(id, 'pending');
    await held.approve(id);
    await held.until(id, 'approved');
    const other = await held.world.ask({
      ...call,
      args: { ...call.args, ...args },
      ...(identity === undefined ? {} : { identity: await held.world.identity(identity) }),
    });
    expect(told(other).slice(0, 2)).toEqual(['escalate', 'policy.needs_approval']);
    expect(told(other)[2]).not.toBe(id);
    expect(told(await held.world.ask(call))[0]).toBe('allow');
  });

  it('is not released once the definition of its tool is another one', async () => {
    const { world } = held;
    const call = refund();
    const [, , id] = told(await world.ask(call));
    await held.until(id, 'pending');
    await held.approve(id);
    await held.until(id, 'approved');
    const place = CONTROL_KEYS.tool(world.tenant, 'shop', 'refund_order');
    const before = TOOLS.find(({ name }) => name === 'refund_order');
    await world.put(place, { ...before, definition_hash: `sha256:${'d'.repeat(64)}` });
    const other = await eventually(async () => {
      const answer = told(await world.ask(call));
      return answer[2] !== id ? answer : undefined;
    });
    expect(other.slice(0, 2)).toEqual(['escalate', 'policy.needs_approval']);
    await world.put(place, before);
    await eventually(async () => (told(await world.ask(call))[0] === 'allow' ? true : undefined));
  });

  it('has every step in the chain', async () => {
    const call = refund();
    const [, , id] = told(await held.world.ask(call));
    await held.until(id, 'pending');
    await held.approve(id);
    await held.until(id, 'approved');
    expect(told(await held.world.ask(call))[0]).toBe('allow');
    const kinds = await eventually(async () => {
      const rows = await held.query<{ kind: string; verdict: string }>(
        `select kind, verdict from chain_rows where entry like $1 order by sequence`,
        [`%${id}%`],
      );
      return rows.length === 6 ? rows.map((row) => `${row.kind} ${row.verdict}`.trim()) : undefined;
    });
    expect(kinds.toSorted()).toEqual(
      [
        'approval.approved',
        'approval.held',
        'approval.reached',
        'approval.used',
        'decision allow',
        'decision escalate',
      ].toSorted(),
    );
  });

  it('may have any text in it, also one that no table likes', async () => {
    await held.world.activate(
      HOLD_REFUNDS.replace(
        '$"Refund {input.call.arguments.amount}."',
        '$"Refund {input.call.arguments.order_id}."',
      ),
    );
    const order = 'ord \u0000 \u001b[31m \u202e "quoted" \\u0000 \ud83d\ude00';
    let amount = 100;
    const { call, id } = await eventually(async () => {
      const call = refund(++amount, order);
      const [, , id] = told(await held.world.ask(call));
      const reply = await held.ask<'show'>({ ask: 'show', approval: asApprovalId(id) });
      const shown = reply.ok ? reply.value.effect : '';
      return shown === `Refund ${order}.` ? { call, id } : undefined; // not by the policy before
    });
    await held.until(id, 'pending');
    await held.approve(id);
    await held.until(id, 'approved');
    expect(told(await held.world.ask(call))[0]).toBe('allow');
  });
});

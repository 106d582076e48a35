// A person changes a held call: what its agent sends then is a call of its own, and whoever changed it is no approver of it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { asApprovalId } from '#contracts/ids.ts';
import type { JsonObject } from '#contracts/json.ts';
import { payloadPlace } from '#host/at-rest.ts';
import {
  type Approvals,
  decided,
  eventually,
  HOLD_REFUNDS,
  startApprovals,
  told,
} from '#test/support/approvals.ts';

let held: Approvals;
beforeAll(async () => {
  held = await startApprovals({ services: 2 });
  // The same person as ada, under another id, and as the person of another issuer.
  const identities = [{ issuer: 'okta', subject: 'ada@example.com' }];
  await held.person('ada', { roles: ['approver', 'operator'], identities });
  await held.person('ada-at-night', { identities });
  await held.world.activate(HOLD_REFUNDS);
}, 120_000);
afterAll(async () => held?.close());

let number = 0;
const refund = (amount = 900, order = `ord_${++number}`) => ({
  tool: 'refund_order',
  args: { amount, order_id: order },
});

async function hold(call = refund()) {
  const [, , id] = told(await held.world.ask(call));
  await held.until(id, 'pending');
  return { call, id };
}

const outcome = async (reply: ReturnType<Approvals['approve']>) => {
  const said = await reply;
  return said.ok ? said.value.state : said.fault;
};

const shown = async (id: string) => {
  const reply = await held.ask<'show'>({ ask: 'show', approval: asApprovalId(id) });
  if (!reply.ok) throw new Error(reply.fault);
  return reply.value;
};

describe('a changed call', () => {
  it('does not run; its agent is told, sends the other one, and another person approves that', async () => {
    const { call, id } = await hold();
    const changed = { ...call, args: { ...call.args, amount: 50 } };
    const text = `{"amount":50,"order_id":"${call.args.order_id}"}`;
    expect(await outcome(held.edit(id, changed.args))).toBe('edited');
    const { note } = await held.until(id, 'edited');
    expect(note).toBe(`So it is right. Changed arguments: ${text}`);
    const refused = decided(await held.world.ask(call));
    expect([refused.verdict, refused.reason.code, refused.reason.message]).toEqual([
      'block',
      'approval.edited',
      note,
    ]);

    const [verdict, , next] = told(await held.world.ask(changed));
    expect([verdict, next === id]).toEqual(['escalate', false]);
    await held.until(next, 'pending');
    const preview = await shown(next);
    expect([preview.arguments, preview.effect, preview.requesters]).toEqual([
      text,
      'Refund 50.',
      ['ada', 'ada-at-night'],
    ]);
    expect(preview.edit_of).toEqual([{ approval_id: id, by: 'ada', at: expect.any(Number) }]);
    expect(await outcome(held.approve(next, 'ada'))).toBe('self');
    expect(await outcome(held.approve(next, 'ada-at-night'))).toBe('self');
    expect(await outcome(held.approve(next, 'grace'))).toBe('approved');
    await held.until(next, 'approved');
    expect(told(await held.world.ask(changed))[0]).toBe('allow');
    expect(told(await held.world.ask(changed)).slice(0, 2)).toEqual(['block', 'approval.used']);
    expect(told(await held.world.ask(call)).slice(0, 2)).toEqual(['block', 'approval.edited']);
  });

  it('is in the chain with what it was changed into, and the other one with what it comes from', async () => {
    const { call, id } = await hold();
    const changed = { ...call, args: { ...call.args, amount: 60 } };
    await held.edit(id, changed.args);
    await held.until(id, 'edited');
    const { id: next } = await hold(changed);
    const values = await eventually(async () => {
      const rows = await held.query<{ kind: string; sequence: string; body: Buffer }>(
        `select r.kind, p.sequence, p.body from chain_rows r join payloads p using (tenant, sequence)
         where (r.kind = 'approval.edited' and r.entry like $1) or (r.kind = 'approval.held' and r.entry like $2)`,
        [`%${id}%`, `%${next}%`],
      );
      return rows.length === 2 ? rows : undefined;
    });
    const valueOf = (kind: string) => {
      const { sequence, body } = values.find((row) => row.kind === kind)!;
      const payload = held.atRest.open(body, payloadPlace(held.world.tenant, Number(sequence)));
      return (JSON.parse(payload) as { sections: { value: JsonObject } }).sections.value;
    };
    expect(valueOf('approval.edited')['edit']).toBe(
      `{"amount":60,"order_id":"${call.args.order_id}"}`,
    );
    expect(valueOf('approval.held')['edit_of']).toEqual([
      { approval_id: id, at: expect.any(Number), by: 'ada' },
    ]);
  });

  it('that nobody but its editor could approve has no channel', async () => {
    const { call, id } = await hold();
    const changed = { ...call, args: { ...call.args, amount: 70 } };
    await held.edit(id, changed.args);
    await held.until(id, 'edited');
    await held.person('grace', { roles: ['viewer'] });
    try {
      const [, , next] = told(await held.world.ask(changed));
      await held.until(next, 'no_channel');
    } finally {
      await held.person('grace');
    }
  });

  it('that was held before somebody changed another into it is not approved by that person either', async () => {
    const { call, id } = await hold();
    const { call: other, id: otherId } = await hold({
      ...call,
      args: { ...call.args, amount: 80 },
    });
    expect(await outcome(held.edit(id, other.args))).toBe('edited');
    expect(await outcome(held.approve(otherId, 'ada'))).toBe('self');
    expect(await outcome(held.approve(otherId, 'grace'))).toBe('approved');
  });

  it.each<[string, object | string, string]>([
    ['the same arguments', { amount: 900, order_id: 'ord_same' }, 'impossible'],
    ['the same in another order', '{"order_id":"ord_same", "amount":9e2}', 'impossible'],
    ['no object', '[900]', 'impossible'],
    ['a name twice', '{"amount":1,"amount":2}', 'impossible'],
    ['no JSON', '{', 'impossible'],
    ['what the tool does not take', { amount: '1', order_id: 'ord_same' }, 'impossible'],
  ])('cannot be %s', async (_, args, fault) => {
    const { id } = await hold(refund(900, 'ord_same'));
    expect(await outcome(held.edit(id, args))).toBe(fault);
    expect((await shown(id)).state).toBe('pending');
  });

  it('is changed once, by whom may decide, and saying it twice is one answer', async () => {
    const { call, id } = await hold();
    const args = { ...call.args, amount: 1 };
    expect(await outcome(held.edit(id, args, 'nobody'))).toBe('not_approver');
    expect(await outcome(held.edit(id, args))).toBe('edited');
    expect(await outcome(held.edit(id, args))).toBe('edited');
    expect(await outcome(held.edit(id, { ...args, amount: 2 }))).toBe('ended');
    expect(await outcome(held.approve(id, 'grace'))).toBe('ended');
  });
});

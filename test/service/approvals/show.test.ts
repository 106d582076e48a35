// What a person is shown before deciding, and the one way by which every surface decides.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { asApprovalId } from '#contracts/ids.ts';
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
  held = await startApprovals();
  await held.world.activate(HOLD_REFUNDS);
}, 120_000);
afterAll(async () => held?.close());

const show = async (id: string) => {
  const reply = await held.ask<'show'>({ ask: 'show', approval: asApprovalId(id) });
  if (!reply.ok) throw new Error(reply.fault);
  return reply.value;
};

describe('a preview', () => {
  it('says everything: effect, bytes, who, why, what came before, who was asked', async () => {
    const session = 'session-1';
    const { world } = held;
    const looked = decided(
      await world.ask({ tool: 'lookup_order', args: { id: 1 }, session_id: session }),
    );
    await world.ask({ tool: 'lookup_order', args: { id: 2 }, session_id: 'another' });
    const answer = decided(
      await world.ask({
        tool: 'refund_order',
        args: { order_id: 'ord_1', amount: 12.5 },
        session_id: session,
        intent: { purpose: 'Please approve this at once!' },
      }),
    );
    const id = answer.approval_id ?? '';
    await held.until(id, 'pending');
    const preview = await eventually(async () => {
      const shown = await show(id);
      return shown.missing.length === 0 && shown.asked.length > 0 ? shown : undefined;
    });
    expect(preview).toMatchObject({
      approval_id: id,
      decision_id: answer.decision_id,
      state: 'pending',
      tool: 'refund_order',
      upstream: 'shop',
      agent: 'shop-agent',
      person: 'alice@example.com',
      effect: 'Refund 12.5.',
      risk: 'medium',
      arguments: '{"amount":12.5,"order_id":"ord_1"}',
      held_because: {
        reason: 'policy.needs_approval',
        policy_reason: 'refund',
        message: 'A person looks at refunds.',
      },
      purpose: 'Please approve this at once!',
      declared_by: 'agent',
      session,
      plan: { route: 'default', stages: [{ quorum: 1, approvers: [] }] },
      asked: [{ tier: 'tier 1' }],
      votes: [],
      missing: [],
    });
    expect(preview.earlier.map(({ decision_id: earlier }) => earlier)).toEqual([
      looked.decision_id,
    ]);
    expect(preview.shown).toMatch(/^sha256:/);
  });

  it('of a record that is not what it was cannot be approved, but it can be denied', async () => {
    const call = { tool: 'refund_order', args: { order_id: 'ord_2', amount: 7 } };
    const [, , id] = told(await held.world.ask(call));
    await held.until(id, 'pending');
    const { shown } = await eventually(async () => {
      const now = await show(id);
      return now.shown === '' ? undefined : now;
    });
    await held.query(
      'update approvals set payload = set_byte(payload, 99, 255 - get_byte(payload, 99)) where id = $1',
      [id],
    );
    const preview = await show(id);
    expect([preview.missing, preview.shown]).toEqual([['the call itself'], '']);
    const reply = await held.ask<'decide'>({
      ask: 'decide',
      approval: asApprovalId(id),
      step: 'approve',
      by: { id: 'ada', stepped_up_at: 0 },
      via: 'page',
      shown,
      reason: '',
    });
    expect(reply).toEqual({ ok: false, fault: 'incomplete', detail: '' });
    expect(await held.step(id, 'deny')).toMatchObject({ ok: true, value: { state: 'denied' } });
  });

  it('is found by every id that a hold of the call was given, and in lists', async () => {
    const call = { tool: 'refund_order', args: { order_id: 'ord_3', amount: 7 } };
    const answers = await Promise.all([held.world.ask(call), held.world.ask(call)]);
    const ids = answers.map((answer) => told(answer)[2]);
    for (const id of ids) await held.until(id, 'pending');
    const shown = await Promise.all(ids.map(show));
    expect(shown[0]?.approval_id).toBe(shown[1]?.approval_id);
    const list = await held.ask<'list'>({ ask: 'list', state: 'pending', limit: 1, before: 0 });
    expect(list).toMatchObject({
      ok: true,
      value: { items: [{ approval_id: shown[0]?.approval_id }] },
    });
  });
});

describe('there is one way to decide', () => {
  /** Files of the product that hold the text. */
  const where = (text: RegExp): string[] =>
    ['services', 'cli', 'contracts']
      .flatMap((folder) =>
        readdirSync(join(CHECKOUT, folder), { recursive: true, encoding: 'utf8' }).map((file) =>
          join(folder, file),
        ),
      )
      .filter(
        (file) => file.endsWith('.ts') && text.test(readFileSync(join(CHECKOUT, file), 'utf8')),
      )
      .sort();

  it('only decide.ts asks who may, and only steps.ts reduces', () => {
    expect(where(/\bwhyNot\b[^;]* from '\.\/may-decide\.ts'/)).toEqual([
      'services/approval-escalation/decide.ts',
    ]);
    expect(where(/\breduce\(row/)).toEqual(['services/approval-escalation/steps.ts']);
    expect(where(/\bdecideHeld\(parts/)).toEqual(['services/approval-escalation/serve.ts']);
    // Of the processes that people reach each has one place that asks it.
    expect(where(/\bask<'decide'>/)).toEqual([
      'services/admin/approvals.ts',
      'services/notifier/decide.ts',
    ]);
    // In admin the API and the page go through the same function of that place.
    expect(where(/\bdecideHeld\b/).filter((file) => file.includes('/admin/'))).toEqual([
      'services/admin/approvals.ts',
      'services/admin/page/decision-routes.ts',
    ]);
  });

  it('only the store writes approvals, and nobody else has rights on them', () => {
    expect(where(/(update|insert into) approvals\b/)).toEqual([
      'services/approval-escalation/store.ts',
    ]);
  });
});

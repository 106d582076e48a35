// An erasure reaches the copies beside a held call, wherever the call is in its life: what waits ends, what was said is gone
// from the tables and from the entry by which workers know it. Nothing of it stood there in plain before, either.

import { afterAll, beforeAll, expect, it } from 'vitest';

import { asApprovalId } from '#contracts/ids.ts';
import type { PayloadOrder } from '#contracts/payload-order.ts';
import { encodeRecords } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { readMacKeys } from '#host/keys.ts';
import { recordPublisher } from '#host/publish.ts';
import {
  type Approvals,
  decided,
  eventually,
  HOLD_REFUNDS,
  startApprovals,
  told,
} from '#test/support/approvals.ts';
import { controlRecord } from '#test/support/records.ts';

let held: Approvals;
beforeAll(async () => {
  held = await startApprovals();
  await held.world.activate(HOLD_REFUNDS);
}, 120_000);
afterAll(async () => held?.close());

const call = (order: string) => ({
  tool: 'refund_order',
  args: { amount: 10, order_id: order },
});

/** A held call; gives the ids of its approval and of its decision. */
async function hold(order: string): Promise<{ readonly id: string; readonly decision: string }> {
  const answer = await held.world.ask(call(order));
  const [, , id] = told(answer);
  await held.until(id, 'pending');
  return { id, decision: decided(answer).decision_id };
}

async function erase(decision: string): Promise<void> {
  const { tenant } = held.world;
  const order: PayloadOrder = { action: 'erase', selection: { decision_id: decision } };
  const record = controlRecord(tenant, { kind: 'control.payloads', action: 'erase' }, order);
  const publish = recordPublisher(
    await held.world.bus('admin'),
    readMacKeys(held.world.macKeysFile),
  );
  await publish(SUBJECTS.control(tenant, 'payloads'), encodeRecords([record]), {
    messageId: `erase/${decision}`,
  });
}

const erased = (id: string) =>
  eventually(async () => {
    const [row] = await held.query<{ done: boolean }>(
      'select done from erased_holds where approval = $1',
      [id],
    );
    return row?.done === true ? true : undefined;
  });

/** Everything that the tables keep of a call, as whoever has the keys would read it. */
async function kept(id: string): Promise<string> {
  const rows = await held.query<Record<string, unknown>>(
    'select * from approvals where id = $1 or grant_of = $1',
    [id],
  );
  const events = await held.query<Record<string, unknown>>(
    'select * from approval_events where id = any($1)',
    [rows.map((row) => row['id'])],
  );
  return [...rows, ...events]
    .flatMap((row) =>
      Object.entries(row).map(([column, value]) => {
        if (!Buffer.isBuffer(value)) return JSON.stringify(value);
        const own = 'step' in row && 'event' in row;
        const table = own ? 'approval_events' : 'approvals';
        const name = `${String(row['id'])} ${own ? String(row['step']) : column}`;
        return held.atRest.open(value, { table, tenant: held.world.tenant, id: name });
      }),
    )
    .join('\n');
}

/** The bytes of the tables as Postgres sends them. */
const raw = async (id: string): Promise<string> =>
  JSON.stringify(
    await held.query(
      `select a::text, e::text from approvals a join approval_events e using (tenant, id) where id = $1`,
      [id],
    ),
  );
const hex = (text: string) => Buffer.from(text).toString('hex');

it('a call that waits ends with a reason; nothing of its content is left, and nothing releases it', async () => {
  const { id, decision } = await hold('ord_waits');
  const before = await raw(id);
  expect([before.includes('ord_waits'), before.includes(hex('ord_waits'))]).toEqual([false, false]);
  expect(await kept(id)).toContain('ord_waits');
  await erase(decision);
  await erased(id);
  expect(await held.until(id, 'cancelled')).toMatchObject({ note: '' });
  expect(await kept(id)).not.toMatch(/ord_waits|refunds 10/);
  const shown = await held.ask<'show'>({ ask: 'show', approval: asApprovalId(id) });
  expect(shown).toMatchObject({
    ok: true,
    value: {
      state: 'cancelled',
      arguments: '',
      effect: '',
      person: '',
      reason: 'its content was erased by an order',
      missing: ['the call itself: it was erased'],
      shown: '',
    },
  });
  expect(await held.step(id, 'deny')).toMatchObject({ ok: false, fault: 'ended' });
  // The agent's own repeat is a call of its own.
  const [verdict, , again] = told(await held.world.ask(call('ord_waits')));
  expect([verdict, again === id]).toEqual(['escalate', false]);
});

it('an approval that nobody used yet ends, with the grant that was given with it', async () => {
  const { id, decision } = await hold('ord_granted');
  const bounds = [
    { path: '/amount', min: 1, max: 50 },
    { path: '/order_id', prefix: 'ord_granted' },
  ];
  expect(await held.approve(id, 'ada', { uses: 3, for_s: 600, bounds })).toMatchObject({
    ok: true,
    value: { state: 'approved' },
  });
  const { approval_id: grant } = await eventually(async () => {
    const listed = await held.ask<'grants'>({ ask: 'grants' });
    return listed.ok ? listed.value.items.find(({ grant: of }) => of?.of === id) : undefined;
  });
  await erase(decision);
  await erased(id);
  expect(await held.until(id, 'cancelled')).toMatchObject({ note: '' });
  expect((await held.until(grant, 'cancelled')).grant).toBeUndefined();
  expect(await kept(id)).not.toContain('ord_granted');
  const [verdict] = told(await held.world.ask(call('ord_granted')));
  expect(verdict).toBe('escalate');
});

it('of one that has ended the words go too; how it ended stays', async () => {
  const { id, decision } = await hold('ord_edited');
  await held.edit(id, { amount: 10, order_id: 'ord_other' });
  expect((await held.until(id, 'edited')).note).toContain('ord_other');
  await erase(decision);
  await erased(id);
  expect(await held.until(id, 'edited')).toMatchObject({ note: '' });
  expect(await kept(id)).not.toMatch(/ord_edited|ord_other/);
});

// What becomes of payloads: erased by order, kept by a hold, dropped by age; and the chain that none of it touches.

import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { PayloadOrder } from '#contracts/payload-order.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import { controlRecord, decisionRecord, outcomeRecord, tenantOf } from '#test/support/records.ts';

import { erasePass } from '../../../services/audit-chainer/erasing.ts';

const shard = SUBJECTS.decisionBatch(0);
const DAY_MS = 86_400_000;

let evidence: Evidence;
/** With the rights of the chainer and no more. */
let pool: pg.Pool;
beforeAll(async () => {
  evidence = await startEvidence();
  pool = new pg.Pool({ connectionString: evidence.databaseUrl('countersign_chainer'), max: 4 });
});
afterAll(async () => {
  await pool.end();
  await evidence.stop();
});

async function chainAll(): Promise<void> {
  const chainer = await evidence.startChainer();
  await evidence.drained();
  await chainer.stop();
}

type Tenant = ReturnType<typeof tenantOf>;

/** Gives the order's id. */
async function give(tenant: Tenant, order: PayloadOrder): Promise<string> {
  const record = controlRecord(tenant, { kind: 'control.payloads', action: order.action }, order);
  await evidence.store('admin', SUBJECTS.control(tenant, 'payloads'), [record]);
  await chainAll();
  // Side by side, as two chainers would.
  await Promise.all([erasePass(pool, { retain: true }), erasePass(pool, { retain: true })]);
  return (JSON.parse(record.leaf) as { id: string }).id;
}

async function decide(tenant: Tenant, leaf: object): Promise<string> {
  const record = decisionRecord(tenant, { leaf });
  await evidence.store('decision-worker', shard, [record]);
  await chainAll();
  await evidence.store('ingress', SUBJECTS.outcome(tenant, 0), [outcomeRecord(tenant, record.id)]);
  await chainAll();
  return record.id;
}

/** Of each decision and what is about it, in the order of the chain: is its payload there? */
const kept = async (tenant: Tenant): Promise<boolean[]> =>
  (await evidence.rows(tenant))
    .filter(({ decision_id }) => decision_id !== '')
    .map(({ payload }) => payload !== null);

test('an erasure takes what fits and what is about it, tells it, and leaves the chain valid', async () => {
  const tenant = tenantOf('erased');
  await decide(tenant, { person: 'p-ann' });
  await decide(tenant, { person: 'p-bob' });
  const order = await give(tenant, { action: 'erase', selection: { person: 'p-ann' } });
  await decide(tenant, { person: 'p-ann' }); // comes later, and stays
  await erasePass(pool, { retain: true });
  expect(await kept(tenant)).toEqual([false, false, true, true, true, true]);
  expect(
    await evidence.query(
      'select sequence::int, order_id from payload_erasures where tenant = $1 order by 1',
      [tenant],
    ),
  ).toEqual([
    { sequence: 1, order_id: order },
    { sequence: 2, order_id: order },
  ]);
  expect(await evidence.verify(tenant)).toBeUndefined();
});

test('a hold beats erasure and retention, and what waited for it goes when it is lifted', async () => {
  const tenant = tenantOf('held');
  const id = await decide(tenant, { agent: 'a', at: Date.now() - 10 * DAY_MS });
  await decide(tenant, { agent: 'b', at: Date.now() - 10 * DAY_MS });
  await decide(tenant, { agent: 'c' });
  const hold = await give(tenant, { action: 'hold', selection: { agent: 'a' } });
  await give(tenant, { action: 'erase', selection: { decision_id: id } });
  await give(tenant, { action: 'retain', days: 5 });
  expect(await kept(tenant)).toEqual([true, true, false, false, true, true]);
  await give(tenant, { action: 'release', hold });
  expect(await kept(tenant)).toEqual([false, false, false, false, true, true]);
  expect(await evidence.verify(tenant)).toBeUndefined();
});

test('an erasure takes what is chained later: a record that waited, and a late outcome', async () => {
  const tenant = tenantOf('late');
  const early = decisionRecord(tenant, { leaf: { person: 'p-ann' } });
  const waited = decisionRecord(tenant, { leaf: { person: 'p-ann' } });
  const last = decisionRecord(tenant, { leaf: { person: 'p-ann' } });
  await evidence.store('decision-worker', shard, [early]);
  await chainAll();
  await give(tenant, { action: 'erase', selection: { person: 'p-ann' } });
  await evidence.store('decision-worker', shard, [waited]);
  await chainAll();
  for (const { id } of [early, waited])
    await evidence.store('ingress', SUBJECTS.outcome(tenant, 0), [outcomeRecord(tenant, id)]);
  await chainAll();
  await erasePass(pool, { retain: false });
  const hold = await give(tenant, { action: 'hold', selection: { person: 'p-ann' } });
  expect(await kept(tenant)).toEqual([false, false, false, false]);
  await evidence.store('decision-worker', shard, [last]);
  await chainAll();
  await erasePass(pool, { retain: false });
  expect(await kept(tenant)).toEqual([false, false, false, false, true]);
  await give(tenant, { action: 'release', hold });
  expect(await kept(tenant)).toEqual([false, false, false, false, false]);
  expect(await evidence.verify(tenant)).toBeUndefined();
});

test('no tenant reaches the payloads of another', async () => {
  const [one, other] = [tenantOf('one'), tenantOf('another')];
  await decide(one, { agent: 'a' });
  await decide(other, { agent: 'a' });
  await give(one, { action: 'erase', selection: { agent: 'a' } });
  expect([await kept(one), await kept(other)]).toEqual([
    [false, false],
    [true, true],
  ]);
});

test('nothing is deleted that no order tells', async () => {
  const tenant = tenantOf('untold');
  await decide(tenant, {});
  const client = await pool.connect();
  await client.query('begin');
  await client.query("set local app.erasing = 'on'");
  await expect(client.query('delete from payloads where tenant = $1', [tenant])).rejects.toThrow(
    'has no erasure',
  );
  await client.query('rollback');
  client.release();
});

/** What a payload is told by, and whether it is there. */
interface Modelled {
  readonly person: string;
  readonly at: number;
  readonly row: number;
  kept: boolean;
}

interface ModelOrder {
  readonly action: 'erase' | 'hold';
  readonly id: string;
  readonly person: string;
  readonly at: number;
  readonly row: number;
}

/** What becomes of payloads, in the plainest words: looked at after every step. */
class Model {
  readonly decisions: Modelled[] = [];
  orders: ModelOrder[] = [];
  days: number | undefined;

  settle(): void {
    for (const one of this.decisions) {
      const fitting = this.orders.filter(({ person }) => person === one.person);
      if (fitting.some(({ action }) => action === 'hold')) continue;
      const erased = fitting.some(
        ({ action, row, at }) => action === 'erase' && (one.row < row || one.at < at),
      );
      const old = this.days !== undefined && one.at < Date.now() - this.days * DAY_MS;
      if (erased || old) one.kept = false;
    }
  }
}

type Step =
  | { readonly do: 'decide'; readonly person: string; readonly daysAgo: number }
  | { readonly do: 'erase' | 'hold'; readonly person: string }
  | { readonly do: 'release' }
  | { readonly do: 'retain'; readonly days: number | null };

const person = fc.constantFrom('p-ann', 'p-bob');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('decide' as const),
      person,
      daysAgo: fc.constantFrom(0, 0, 3, 10),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('erase' as const, 'hold' as const), person }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'release' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('retain' as const), days: fc.constantFrom(5, null) }),
  },
);

const RUNS = Number(process.env['COUNTERSIGN_TEST_ORDER_RUNS'] ?? 4);
let histories = 0;

test(
  'any history of orders and records leaves what a plain model says, and a valid chain',
  { timeout: 600_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 9 }), async (steps) => {
        const tenant = tenantOf(`history-${(histories += 1)}`);
        const model = new Model();
        for (const [row, one] of steps.entries()) {
          await take(tenant, model, { row, one });
          model.settle();
        }
        expect(await kept(tenant)).toEqual(model.decisions.map(({ kept: there }) => there));
        expect(await evidence.verify(tenant)).toBeUndefined();
      }),
      { numRuns: RUNS },
    );
  },
);

/** Carries out a step on the system and writes it into the model. */
async function take(
  tenant: Tenant,
  model: Model,
  { row, one }: { readonly row: number; readonly one: Step },
): Promise<void> {
  if (one.do === 'decide') {
    const at = Date.now() - one.daysAgo * DAY_MS;
    const record = decisionRecord(tenant, { leaf: { person: one.person, at } });
    await evidence.store('decision-worker', shard, [record]);
    await chainAll();
    await erasePass(pool, { retain: true });
    model.decisions.push({ person: one.person, at, row, kept: true });
    return;
  }
  const at = Date.now();
  if (one.do === 'release') {
    const lifted = model.orders.find(({ action }) => action === 'hold');
    if (lifted === undefined) return;
    model.orders = model.orders.filter((order) => order !== lifted);
    await give(tenant, { action: 'release', hold: lifted.id });
  } else if (one.do === 'retain') {
    model.days = one.days ?? undefined;
    await give(tenant, { action: 'retain', days: one.days });
  } else {
    const selection = { person: one.person };
    const id = await give(tenant, { action: one.do, selection });
    model.orders.push({ action: one.do, id, person: one.person, at, row });
  }
}

// The chainer and its database die at bad moments: nothing is lost, nothing is chained twice, nobody has to help.

import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { SUBJECTS } from '#contracts/subjects.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import { decisionRecord, tenantOf } from '#test/support/records.ts';

let evidence: Evidence;
beforeAll(async () => {
  evidence = await startEvidence();
});
afterAll(() => evidence.stop());

const shard = SUBJECTS.decisionBatch(0);

/** Stores this many messages of ten records each and gives the ids of the records. */
async function storeMany(tenant: string, messages: number): Promise<string[]> {
  const ids: string[] = [];
  for (let message = 0; message < messages; message += 1) {
    const records = Array.from({ length: 10 }, () => decisionRecord(tenantOf(tenant)));
    ids.push(...records.map(({ id }) => id));
    await evidence.store('decision-worker', shard, records);
  }
  return ids;
}

async function expectExactly(tenant: string, ids: readonly string[]): Promise<void> {
  const rows = await evidence.rows(tenant);
  expect(new Set(rows.map(({ record_id }) => record_id))).toEqual(new Set(ids));
  expect(rows.map(({ sequence }) => sequence)).toEqual(ids.map((_, index) => index + 1));
  expect(await evidence.verify(tenant)).toBeUndefined();
}

test('a crash between commit and acknowledgement, by a process that never comes back', async () => {
  const ids = await storeMany('between', 5);
  let reached = () => {};
  const committed = new Promise<void>((resolve) => (reached = resolve));
  const first = await evidence.startChainer({
    // As far as the broker can tell, this is the end of it.
    afterCommit: async () => {
      reached();
      await new Promise(() => {});
    },
  });
  await committed;
  expect((await evidence.rows('between')).length).toBeGreaterThan(0);
  void first.stop();
  const second = await evidence.startChainer();
  await evidence.drained();
  await second.stop();
  await expectExactly('between', ids);
});

test('kill -9 of one of two chainer processes, again and again, while records keep coming', async () => {
  const storing = storeMany('killed', 200);
  const chainers = [await evidence.spawnChainer(), await evidence.spawnChainer()];
  for (let kills = 0; kills < 4; kills += 1) {
    const before = await chained('killed');
    await until(async () => (await chained('killed')) > Math.min(before + 200, 1_800));
    expect(await chainers.shift()!.end('SIGKILL')).toBeNull();
    chainers.push(await evidence.spawnChainer());
  }
  const ids = await storing;
  await evidence.drained();
  expect(await Promise.all(chainers.map((chainer) => chainer.end('SIGTERM')))).toEqual([0, 0]);
  await expectExactly('killed', ids);
});

test('Postgres is killed, stays away and comes back: the chainer says so, waits and catches up', async () => {
  const chainer = await evidence.spawnChainer();
  const earlier = await storeMany('outage', 3);
  await until(async () => (await chained('outage')) === earlier.length);
  expect(await chainer.readiness()).toMatchObject({ status: 200, ready: true, reasons: [] });

  await evidence.postgres.kill();
  const meanwhile = await storeMany('outage', 30);
  await until(async () => (await chainer.readiness()).status === 503);
  expect(await chainer.readiness()).toMatchObject({
    ready: false,
    // Whatever else has tried it meanwhile, says so too.
    reasons: expect.arrayContaining([
      expect.stringMatching(/^database: Postgres does not answer/) as string,
    ]) as string[],
  });
  await evidence.postgres.restart();
  const later = await storeMany('outage', 3);
  await until(async () => (await chained('outage').catch(() => 0)) === 360);
  await until(async () => (await chainer.readiness()).status === 200);
  expect(await chainer.end('SIGTERM')).toBe(0);
  await expectExactly('outage', [...earlier, ...meanwhile, ...later]);
});

test('a chainer that starts without Postgres lives, is not ready, and can be stopped', async () => {
  await evidence.postgres.kill();
  const ids = await storeMany('no-database', 3);
  const chainer = await evidence.spawnChainer();
  expect(await chainer.readiness()).toMatchObject({ status: 503, ready: false });
  expect(await chainer.end('SIGTERM')).toBe(0); // although a batch waits for the database
  await evidence.postgres.restart();
  const again = await evidence.spawnChainer();
  await evidence.drained();
  expect(await again.end('SIGTERM')).toBe(0);
  await expectExactly('no-database', ids);
});

async function chained(tenant: string): Promise<number> {
  const [row] = await evidence.query<{ rows: number }>(
    'select count(*)::int as rows from chain_rows where tenant = $1',
    [tenant],
  );
  return row!.rows;
}

async function until(met: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await met())) {
    if (Date.now() > deadline) throw new Error('waited in vain');
    await sleep(25);
  }
}

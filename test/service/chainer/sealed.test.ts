// Payloads as they stand in the database: sealed, bound to their rows, and sealed anew when a key is rotated.

import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { resealContents } from '#cli/local/reseal.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { AlteredContent, atRest, payloadPlace, UnknownKey } from '#host/at-rest.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import { decisionRecord, tenantOf } from '#test/support/records.ts';

let evidence: Evidence;
beforeAll(async () => {
  evidence = await startEvidence();
});
afterAll(async () => {
  await evidence.stop();
});

const tenant = tenantOf('sealed');
const bodies = async () =>
  (
    await evidence.query<{ body: Buffer }>(
      'select body from payloads where tenant = $1 order by sequence',
      [tenant],
    )
  ).map(({ body }) => body);
/** Without the triggers that keep a payload as it is. */
async function asOwner(statement: string, values: readonly unknown[] = []): Promise<void> {
  await evidence.query('alter table payloads disable trigger payloads_are_resealed');
  await evidence.query(statement, values);
  await evidence.query('alter table payloads enable trigger payloads_are_resealed');
}
const reseal = (keys = evidence.atRest, repair = true) =>
  resealContents(evidence.databaseUrl, keys, repair);

test('a payload is bound to its row, stays readable from before it was sealed, and is sealed anew', async () => {
  const records = Array.from({ length: 3 }, () => decisionRecord(tenant));
  await evidence.store('decision-worker', SUBJECTS.decisionBatch(0), records);
  const chainer = await evidence.startChainer();
  await evidence.drained();
  await chainer.stop();
  const texts = records.map(({ payload }) => payload);
  const shown = async () => (await evidence.rows(tenant)).map(({ payload }) => payload);
  expect(await shown()).toEqual(texts);
  const [first] = await bodies();
  expect(first?.includes('sections')).toBe(false);
  expect(() => evidence.atRest.open(first!, payloadPlace(tenant, 2))).toThrow(AlteredContent);

  // One as it was stored before, and all under a key that is rotated out.
  await asOwner('update payloads set body = $2 where tenant = $1 and sequence = 2', [
    tenant,
    Buffer.from(texts[1]!),
  ]);
  expect(await shown()).toEqual(texts);
  expect(await reseal(evidence.atRest, false)).toMatchObject({ different: 1, unreadable: 0 });
  expect(await reseal()).toMatchObject({ different: 1, unreadable: 0 });
  expect(await reseal()).toMatchObject({ looked: 3, different: 0 });
  expect((await bodies()).some((body) => body.includes('sections'))).toBe(false);
  expect(await shown()).toEqual(texts);

  const other = atRest([randomBytes(32)]);
  const before = await bodies();
  expect(() => other.open(before[0]!, payloadPlace(tenant, 1))).toThrow(UnknownKey);
  // Without the old key nothing is lost.
  expect(await reseal(other)).toMatchObject({ different: 3, unreadable: 3 });
  expect(await bodies()).toEqual(before);
});

// The alarm before the spool is full: told once, to whoever looks, and over when there is room again.

import { afterAll, beforeAll, expect, test } from 'vitest';

import { SUBJECTS } from '#contracts/subjects.ts';
import { type ChainerProcess, type Evidence, startEvidence } from '#test/support/evidence.ts';
import { decisionRecord, tenantOf } from '#test/support/records.ts';

let evidence: Evidence;
let chainer: ChainerProcess;
beforeAll(async () => {
  evidence = await startEvidence();
  chainer = await evidence.spawnChainer();
});
afterAll(() => evidence.stop());

const POLL = { timeout: 30_000, interval: 200 };

test('a stream that fills up is told by /readyz and in the chain before it refuses, and no more once there is room', async () => {
  await expect.poll(chainer.readiness, POLL).toMatchObject({ status: 200, reasons: [] });
  const info = await evidence.bus.jsm.streams.info('DECISIONS');
  await evidence.bus.jsm.streams.update('DECISIONS', { ...info.config, max_bytes: 64 * 1024 });
  const record = decisionRecord(tenantOf('acme'), { args: { text: 'x'.repeat(42_000) } });
  await evidence.store('decision-worker', SUBJECTS.decisionBatch(0), [record]);
  await expect.poll(chainer.readiness, POLL).toMatchObject({
    status: 503,
    reasons: [
      expect.stringMatching(
        /^spool: DECISIONS holds 6\d % of its bytes; when it is full, calls are refused$/,
      ),
    ],
  });
  const told = async () =>
    (await evidence.rows('_platform')).filter(({ entry }) => entry.includes('report_full_spool'));
  await expect.poll(told, POLL).toHaveLength(1);

  await evidence.bus.jsm.streams.purge('DECISIONS');
  await expect.poll(chainer.readiness, POLL).toMatchObject({ status: 200, reasons: [] });
  expect(await told()).toHaveLength(1);
});

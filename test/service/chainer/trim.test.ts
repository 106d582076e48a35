// The spool behind the chain: what goes, and everything that keeps it.

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

import { asApprovalId } from '#contracts/ids.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { createLog } from '#host/log.ts';
import { AckPolicy, type Bus, connectBus } from '#host/nats.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import { controlRecord, decisionRecord, tenantOf } from '#test/support/records.ts';

import { sealedThrough } from '../../../services/audit-chainer/sealed-through.ts';
import { startTrimmer } from '../../../services/audit-chainer/trim.ts';

const tenant = tenantOf('acme');
const shard = SUBJECTS.decisionBatch(0);
const log = createLog('test', 'fatal');

let evidence: Evidence;
let chainerBus: Bus;
beforeAll(async () => {
  evidence = await startEvidence();
  // With the rights of the chainer and no more.
  chainerBus = await connectBus({
    url: evidence.nats.url,
    user: 'audit-chainer',
    passwordFile: evidence.nats.passwordFile('audit-chainer'),
    monitorUrl: evidence.nats.monitorUrl,
  });
});
afterAll(async () => {
  await chainerBus.close();
  await evidence.stop();
});

beforeEach(async () => {
  await evidence.bus.jsm.streams.purge('DECISIONS');
});

const storeOne = () => evidence.store('decision-worker', shard, [decisionRecord(tenant)]);

async function chainAll(): Promise<void> {
  const chainer = await evidence.startChainer();
  await evidence.drained();
  await evidence.sealed();
  await chainer.stop();
}

/** One pass over all streams, by a trimmer that saw nothing before. */
async function trimOnce(keepMs = 0): Promise<void> {
  const trimmer = startTrimmer(chainerBus, {
    sealedThrough: async (stream) =>
      sealedThrough(evidence.pool, stream, await chainerBus.epoch(stream)),
    keepMs,
    log,
  });
  await trimmer.pass();
  trimmer.close();
}

const left = async (stream = 'DECISIONS') =>
  (await evidence.bus.jsm.streams.info(stream)).state.messages;

test('what is in the chain goes, uses of approvals stay', async () => {
  await storeOne();
  const approval = asApprovalId('0190a0b0-0000-7000-8000-000000000000');
  const use = SUBJECTS.use(tenant, approval, 1);
  await evidence.store('decision-worker', use, [decisionRecord(tenant)]);
  await storeOne();
  await evidence.store('decision-worker', SUBJECTS.decisionHold(tenant), [decisionRecord(tenant)]);
  await chainAll();
  const subjects = async () =>
    (await evidence.bus.jsm.streams.info('DECISIONS', { subjects_filter: '>' })).state.subjects;
  await trimOnce();
  // A hold waits for approval-escalation to read it; it holds back nothing else.
  expect(await subjects()).toEqual({ [use]: 1, [SUBJECTS.decisionHold(tenant)]: 1 });
  const reader = await evidence.bus.js.consumers.get('DECISIONS', 'take-holds');
  for await (const message of await reader.fetch({ max_messages: 2, expires: 2_000 })) {
    await message.ackAck();
  }
  await trimOnce();
  expect(await subjects()).toEqual({ [use]: 1 });
});

test('what is not in the chain stays', async () => {
  await storeOne();
  await chainAll();
  await storeOne();
  await trimOnce();
  expect(await left()).toBe(1);
});

test('what the seam does not release stays, whoever has read it', async () => {
  const first = await storeOne();
  await storeOne();
  await chainAll();
  const trimmer = startTrimmer(chainerBus, { sealedThrough: async () => first, keepMs: 0, log });
  await trimmer.pass();
  trimmer.close();
  expect(await left()).toBe(1);
});

test('what was chained a moment ago stays', async () => {
  await storeOne();
  await chainAll();
  await trimOnce(60_000);
  expect(await left()).toBe(1);
});

test('what another durable consumer has not acknowledged stays, also when it is new', async () => {
  await storeOne();
  await storeOne();
  await chainAll();
  const trimmer = startTrimmer(chainerBus, {
    sealedThrough: async (stream) =>
      sealedThrough(evidence.pool, stream, await chainerBus.epoch(stream)),
    keepMs: 0,
    log,
  });
  await evidence.bus.jsm.consumers.add('DECISIONS', {
    durable_name: 'another',
    ack_policy: AckPolicy.Explicit,
  });
  await trimmer.pass();
  expect(await left()).toBe(2);

  const consumer = await evidence.bus.js.consumers.get('DECISIONS', 'another');
  const first = await consumer.next();
  expect(await first?.ackAck()).toBe(true);
  await trimmer.pass();
  expect(await left()).toBe(1);

  await evidence.bus.jsm.consumers.delete('DECISIONS', 'another');
  await trimmer.pass();
  trimmer.close();
  expect(await left()).toBe(0);
});

test('control events wait for the projector', async () => {
  await evidence.store('admin', SUBJECTS.control(tenant, 'agent'), [controlRecord(tenant)]);
  await chainAll();
  await trimOnce();
  expect(await left('CONTROL')).toBe(1);
});

// What nobody tells: messages that were never chained, streams that lost what they had, calls that never ended.

import { afterAll, beforeAll, expect, test } from 'vitest';

import { asDecisionId } from '#contracts/ids.ts';
import { payloadFault } from '#contracts/payload.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { readMacKeys } from '#host/keys.ts';
import { createLog } from '#host/log.ts';
import { type Bus, connectBus } from '#host/nats.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import { controlRecord, decisionRecord, outcomeRecord, tenantOf } from '#test/support/records.ts';

import { append } from '../../../services/audit-chainer/append.ts';
import { unknownOutcome } from '../../../services/audit-chainer/candidate.ts';
import { handledThrough } from '../../../services/audit-chainer/spooled.ts';
import { startSweeping } from '../../../services/audit-chainer/sweeping.ts';
import { migrateDatabase } from '../../../services/migrate/database.ts';

const shard = SUBJECTS.decisionBatch(0);
const HOUR_MS = 3_600_000;

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

async function chainAll(count = 1): Promise<void> {
  const chainers = await Promise.all(Array.from({ length: count }, () => evidence.startChainer()));
  await evidence.drained();
  await Promise.all(chainers.map((chainer) => chainer.stop()));
}

/** Passes of sweepers side by side, each seeing the streams once before. */
async function sweep(unknownAfterMs?: number, sweepers = 1): Promise<void> {
  const all = Array.from({ length: sweepers }, () =>
    startSweeping({
      bus: chainerBus,
      pool: evidence.pool,
      atRest: evidence.atRest,
      database: {
        fault: () => '',
        clockFault: () => '',
        failed: () => {},
        waitUsable: async () => true,
        close: () => {},
      },
      macKeys: readMacKeys(evidence.config.COUNTERSIGN_MAC_KEYS_FILE),
      log: createLog('test', 'silent'),
      ...(unknownAfterMs === undefined ? {} : { unknownAfterMs }),
    }),
  );
  await Promise.all(all.map(({ pass }) => pass()));
  await Promise.all(all.map(({ stop }) => stop()));
}

interface Said {
  readonly action: string;
  readonly target: string;
  readonly reason: string;
}

async function platformSays(action: string): Promise<Said[]> {
  const rows = await evidence.rows('_platform');
  return rows
    .map(({ entry }) => (JSON.parse(entry) as { body: Said }).body)
    .filter((body) => body.action === action);
}

test('a message that somebody deleted before it was chained is missed by number, once', async () => {
  const tenant = tenantOf('gap');
  const sequences: number[] = [];
  for (let message = 0; message < 6; message += 1)
    sequences.push(await evidence.store('decision-worker', shard, [decisionRecord(tenant)]));
  const [, second, third, , fifth] = sequences as [number, number, number, number, number];
  for (const seq of [second, third, fifth])
    await evidence.bus.jsm.streams.deleteMessage('DECISIONS', seq);
  await chainAll();
  await sweep(undefined, 2);
  await sweep();
  const epoch = await evidence.bus.epoch('DECISIONS');
  const gaps = await platformSays('report_gap');
  expect(gaps.map(({ target, reason }) => [target, reason])).toEqual([
    [
      `DECISIONS/${epoch}/${second}-${third}`,
      '2 messages of DECISIONS are not in the chain and not in the stream',
    ],
    [
      `DECISIONS/${epoch}/${fifth}-${fifth}`,
      '1 messages of DECISIONS are not in the chain and not in the stream',
    ],
  ]);
  expect(await handledThrough(evidence.pool, 'DECISIONS', epoch)).toBe(sequences.at(-1));
  expect(await evidence.rows(tenant)).toHaveLength(3);
  expect(await evidence.verify('_platform')).toBeUndefined();
});

test('an honest history raises nothing, whatever was delivered twice or stored twice', async () => {
  const before = (await evidence.rows('_platform')).length;
  const tenant = tenantOf('honest');
  const records = [decisionRecord(tenant), decisionRecord(tenant)];
  await evidence.store('decision-worker', shard, records);
  await evidence.store('decision-worker', shard, records);
  await chainAll(2);
  await sweep(undefined, 2);
  expect(await evidence.rows('_platform')).toHaveLength(before);
});

test('a message that was acknowledged and not chained is chained by the sweep, and not trimmed before', async () => {
  const tenant = tenantOf('forgotten');
  const record = decisionRecord(tenant);
  const sequence = await evidence.store('decision-worker', shard, [record]);
  // As a defect would: acknowledged by somebody who did not chain it.
  const consumer = await evidence.bus.js.consumers.get('DECISIONS', 'chain-decisions');
  await (await consumer.next())?.ackAck();
  const epoch = await evidence.bus.epoch('DECISIONS');
  expect(await handledThrough(evidence.pool, 'DECISIONS', epoch)).toBe(sequence - 1);
  const gaps = (await platformSays('report_gap')).length;
  await sweep();
  expect((await evidence.rows(tenant)).map(({ record_id }) => record_id)).toEqual([record.id]);
  expect(await platformSays('report_gap')).toHaveLength(gaps);
  expect(await handledThrough(evidence.pool, 'DECISIONS', epoch)).toBe(sequence);
});

test('a forwarded allow without an outcome ends as unknown, once, and a report that comes later counts', async () => {
  const tenant = tenantOf('unknown');
  const at = Date.now() - HOUR_MS;
  const forwarded = { forwards: true, at };
  const [open, reported, early, asked] = [
    decisionRecord(tenant, { leaf: forwarded }),
    decisionRecord(tenant, { leaf: forwarded }),
    decisionRecord(tenant, { leaf: forwarded }),
    decisionRecord(tenant, { leaf: { at } }),
  ];
  const refused = decisionRecord(tenant, { leaf: { ...forwarded, verdict: 'block' } });
  const young = decisionRecord(tenant, { leaf: { forwards: true } });
  const outcomes = SUBJECTS.outcome(tenant, 0);
  // Its end came before it.
  await evidence.store('ingress', outcomes, [outcomeRecord(tenant, early.id)]);
  await chainAll();
  await evidence.store('decision-worker', shard, [open, reported, early, asked, refused, young]);
  await evidence.store('ingress', outcomes, [outcomeRecord(tenant, reported.id)]);
  await chainAll();
  await sweep(undefined, 2);
  await sweep();

  const unknown = async () =>
    (await evidence.rows(tenant)).filter(({ source_stream: stream }) => stream === 'chainer');
  expect((await unknown()).map(({ kind, decision_id }) => [kind, decision_id])).toEqual([
    ['outcome', open.id],
  ]);
  const [row] = await unknown();
  const { body } = JSON.parse(row!.entry) as { body: { status: string; commitments: never } };
  expect(body).toMatchObject({ status: 'unknown', reported_by: 'chainer', late: true });
  expect(payloadFault({ kind: 'outcome', ...body }, row!.payload)).toBe('');

  const alerts = (await evidence.rows('_platform')).length;
  await evidence.store('ingress', outcomes, [outcomeRecord(tenant, open.id)]);
  await chainAll();
  const about = (await evidence.rows(tenant)).filter(({ decision_id: id }) => id === open.id);
  expect(about.map(({ kind, record_id }) => [kind, record_id])).toEqual([
    ['decision', open.id],
    ['outcome', `unknown/${open.id}`],
    ['outcome', open.id],
  ]);
  expect(await evidence.rows('_platform')).toHaveLength(alerts);
  expect(await evidence.verify(tenant)).toBeUndefined();
});

test('a report that is chained between the look and the append leaves no room for unknown', async () => {
  const tenant = tenantOf('raced');
  const decision = decisionRecord(tenant, { leaf: { forwards: true, at: Date.now() - HOUR_MS } });
  await evidence.store('decision-worker', shard, [decision]);
  await evidence.store('ingress', SUBJECTS.outcome(tenant, 0), [
    outcomeRecord(tenant, decision.id),
  ]);
  await chainAll();
  // What another look found before the report was there.
  const unknown = unknownOutcome(tenant, asDecisionId(decision.id));
  expect(await append(evidence, [unknown])).toEqual({ rows: 0, repeated: 1, alerts: 0 });
  const outcomes = (await evidence.rows(tenant)).filter(({ kind }) => kind === 'outcome');
  expect(outcomes.map(({ record_id }) => record_id)).toEqual([decision.id]);
});

test('outcomes that wait in the stream are waited for', async () => {
  const tenant = tenantOf('waiting');
  const decision = decisionRecord(tenant, { leaf: { forwards: true, at: Date.now() - HOUR_MS } });
  await evidence.store('decision-worker', shard, [decision]);
  await chainAll();
  await evidence.store('ingress', SUBJECTS.outcome(tenant, 0), [
    outcomeRecord(tenant, decision.id),
  ]);
  await sweep();
  expect((await evidence.rows(tenant)).map(({ kind }) => kind)).toEqual(['decision']);
  await chainAll();
  await sweep();
  expect((await evidence.rows(tenant)).map(({ kind, record_id }) => [kind, record_id])).toEqual([
    ['decision', decision.id],
    ['outcome', decision.id],
  ]);
});

test('a stream that ends before what was chained of it, and one that was made anew, are told', async () => {
  const tenant = tenantOf('anew');
  await evidence.store('admin', SUBJECTS.control(tenant, 'agent'), [controlRecord(tenant)]);
  await chainAll();
  const epoch = await evidence.bus.epoch('CONTROL');
  const [{ last } = { last: '0' }] = await evidence.query<{ last: string }>(
    "update spooled set last = last + 7 where stream = 'CONTROL' returning last",
  );
  await sweep();
  await sweep();
  expect((await platformSays('report_rewound_stream')).map(({ target }) => target)).toEqual([
    `CONTROL/${epoch}`,
  ]);
  await evidence.query(
    `update spooled set last = ${Number(last) - 7}, epoch = 'former' where stream = 'CONTROL'`,
  );
  await sweep();
  await sweep();
  const [told, ...more] = await platformSays('report_new_stream');
  expect(more).toEqual([]);
  expect(told).toMatchObject({
    target: `CONTROL/${epoch}`,
    reason: `CONTROL was made anew; of the former is chained former up to ${Number(last) - 7}: what came behind is lost`,
  });
});

test('what was chained before there were sweeps is not missed', async () => {
  const tenant = tenantOf('before');
  await evidence.store('decision-worker', shard, [decisionRecord(tenant), decisionRecord(tenant)]);
  await chainAll();
  await sweep();
  const streams =
    "select stream, epoch, max(last) as last from spooled where stream = 'DECISIONS' group by 1, 2";
  const before = await evidence.query(streams);
  const alerts = (await evidence.rows('_platform')).length;
  await evidence.query('drop table spooled, settled');
  await evidence.query('delete from migrations where number = 14');
  await migrateDatabase(evidence.databaseUrl('countersign_migrator'));
  expect(await evidence.query(streams)).toEqual(before);
  await sweep();
  const later = (await evidence.rows('_platform')).slice(alerts);
  expect(later.filter(({ entry }) => entry.includes('"DECISIONS/'))).toEqual([]);
});

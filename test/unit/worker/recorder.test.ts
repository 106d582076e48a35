// Grouping of records: what shares a stored message, and what becomes of a group that is not acknowledged.

import { describe, expect, it } from 'vitest';

import { BATCH_RECORDS_MAX, decodeRecords } from '#contracts/record.ts';
import { NotRecorded, type PublishRecord } from '#host/publish.ts';

import { createRecorder } from '../../../services/decision-worker/recorder.ts';

/** A publisher whose acknowledgements come when told. */
function publisher() {
  const sent: { subject: string; records: string[]; ack: () => void; fail: () => void }[] = [];
  const publish: PublishRecord = (subject, body) =>
    new Promise((resolve, reject) => {
      const sequence = sent.length + 1;
      sent.push({
        subject,
        records: decodeRecords(body).map(({ leaf }) => leaf),
        ack: () => resolve({ sequence, duplicate: false }),
        fail: () => reject(new NotRecorded('no')),
      });
    });
  return { sent, publish };
}

const lines = (leaf: string) => ({ leaf, payload: '{}', bytes: leaf.length + 4 });
const noReceipts = () => [];
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('recorder', () => {
  it('puts the records of one turn into one message and tells each its place', async () => {
    const { sent, publish } = publisher();
    const recorder = createRecorder(publish, 1_000, noReceipts);
    const places = ['"a"', '"b"'].map((leaf) => recorder.record(lines(leaf), 0));
    await turn();
    expect(sent.map(({ records }) => records)).toEqual([['"a"', '"b"']]);
    sent[0]?.ack();
    expect(await Promise.all(places)).toEqual([
      { sequence: 1, index: 0 },
      { sequence: 1, index: 1 },
    ]);
  });

  it('collects while two messages are in flight, then sends the rest as one', async () => {
    const { sent, publish } = publisher();
    const recorder = createRecorder(publish, 1_000, noReceipts);
    for (const leaf of ['1', '2', '3', '4']) {
      void recorder.record(lines(leaf), 0);
      await turn();
    }
    expect(sent.map(({ records }) => records)).toEqual([['1'], ['2']]);
    sent[0]?.ack();
    await turn();
    expect(sent.map(({ records }) => records)).toEqual([['1'], ['2'], ['3', '4']]);
  });

  it('keeps shards apart, and groups bounded', async () => {
    const { sent, publish } = publisher();
    const recorder = createRecorder(publish, 1_000, noReceipts);
    for (let n = 0; n < BATCH_RECORDS_MAX + 1; n += 1) void recorder.record(lines('0'), 0);
    void recorder.record(lines('1'), 1);
    await turn();
    sent[0]?.ack();
    await turn();
    expect(sent.map(({ subject, records }) => [subject, records.length])).toEqual([
      ['v1.decision.batch.0', BATCH_RECORDS_MAX],
      ['v1.decision.batch.0', 1],
      ['v1.decision.batch.1', 1],
    ]);
  });

  it('fails every record of a group that is not acknowledged, and goes on with the next', async () => {
    const { sent, publish } = publisher();
    const recorder = createRecorder(publish, 1_000, noReceipts);
    const lost = [recorder.record(lines('1'), 0), recorder.record(lines('2'), 0)];
    await turn();
    sent[0]?.fail();
    expect((await Promise.allSettled(lost)).map(({ status }) => status)).toEqual([
      'rejected',
      'rejected',
    ]);
    const next = recorder.record(lines('3'), 0);
    await turn();
    sent[1]?.ack();
    expect(await next).toEqual({ sequence: 2, index: 0 });
  });
});

// The JetStream loop while it is behind: the next batch is pulled while one is handled, nothing is lost, skipped or kept
// back when a batch fails or the loop stops.

import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';

import type { ConsumerName } from '#contracts/streams.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { consume, type Delivered, type Handled } from '#host/consume.ts';
import { createLog } from '#host/log.ts';
import type { Bus } from '#host/nats.ts';
import { startWorld, type World } from '#test/support/world.ts';

const NAME: ConsumerName = 'chain-decisions';
const BATCH = 4;
const MESSAGES = 22;
const WAIT = { timeout: 20_000 };
const log = createLog('test', 'silent');

let world: World;
let chainer: Bus;
beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  chainer = await world.bus('audit-chainer');
  // What is not given back by the loop comes too late for every test.
  const { config } = await world.operator.jsm.consumers.info('DECISIONS', NAME);
  await world.operator.jsm.consumers.update('DECISIONS', NAME, { ...config, ack_wait: 600e9 });
}, 60_000);
afterAll(async () => world?.close());

let first = 0;
beforeEach(async () => {
  const { state } = await world.operator.jsm.streams.info('DECISIONS');
  first = state.last_seq + 1;
  for (let n = 0; n < MESSAGES; n++) {
    await world.operator.js.publish(SUBJECTS.decisionBatch(0), `record ${n}`);
  }
});

const behind = (handle: (batch: readonly Delivered[]) => Promise<Handled>) =>
  consume(chainer, NAME, { batchMax: BATCH, lingerMs: 50, pullsAhead: true, log }, handle);
const wanted = () => Array.from({ length: MESSAGES }, (_, n) => first + n);

it('handles batches in the order of the stream, one at a time', async () => {
  const seen: number[] = [];
  let handling = 0;
  const loop = behind(async (batch) => {
    handling += 1;
    expect(handling).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    seen.push(...batch.map(({ sequence }) => sequence));
    handling -= 1;
    return 'done';
  });
  await vi.waitUntil(() => seen.length >= MESSAGES, WAIT);
  await loop.stop();
  expect(seen).toEqual(wanted());
});

it('gives all of them again where one batch fails, the one behind it too', async () => {
  const done = new Set<number>();
  let failures = 0;
  const loop = behind(async (batch) => {
    if (batch.some(({ sequence }) => sequence === first + BATCH) && failures++ < 2) {
      throw new Error('the database is away');
    }
    for (const { sequence } of batch) done.add(sequence);
    return 'done';
  });
  await vi.waitUntil(() => done.size >= MESSAGES, WAIT);
  await loop.stop();
  expect([failures > 2, [...done].sort((a, b) => a - b)]).toEqual([true, wanted()]);
});

it('gives the rest of a batch again where its beginning is done', async () => {
  const seen: number[] = [];
  const loop = behind(async (batch) => {
    const before = seen.length;
    seen.push(...batch.map(({ sequence }) => sequence));
    if (before > 0) return 'done';
    seen.splice(1);
    return { retryInMs: 50, done: 1 };
  });
  await vi.waitUntil(() => seen.length >= MESSAGES, WAIT);
  await loop.stop();
  expect(seen.toSorted((a, b) => a - b)).toEqual(wanted());
});

it('leaves what it pulled ahead to whoever goes on, at once', async () => {
  const seen: number[] = [];
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const loop = behind(async (batch) => {
    seen.push(...batch.map(({ sequence }) => sequence));
    await held;
    return 'done';
  });
  await vi.waitUntil(() => seen.length > 0, WAIT);
  const stopped = loop.stop();
  release();
  await stopped;
  const before = seen.length;
  const next = behind(async (batch) => {
    for (const { sequence, deliveries } of batch) {
      seen.push(sequence);
      expect(deliveries).toBeLessThanOrEqual(2);
    }
    return 'done';
  });
  await vi.waitUntil(() => seen.length >= MESSAGES, WAIT);
  await next.stop();
  expect([before, seen.toSorted((a, b) => a - b)]).toEqual([BATCH, wanted()]);
});

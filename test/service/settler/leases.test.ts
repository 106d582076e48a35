// What a worker took from counters and never accounted for comes back; what it recorded stays; and nothing comes back twice.

import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import type { Draw } from '#contracts/budget.ts';
import { encodeRecords } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { readMacKeys } from '#host/keys.ts';
import { createLog } from '#host/log.ts';
import { recordPublisher } from '#host/publish.ts';

import { addOnce } from '../../../services/budget-settler/counters.ts';
import { settleLeases } from '../../../services/budget-settler/leases.ts';
import { createCounters } from '../../../services/decision-worker/points/counters.ts';
import { startWorld, type World } from '../../support/world.ts';

const log = createLog('test', 'fatal');
const LIMIT = 100;

let world: World;
beforeAll(async () => {
  world = await startWorld({ workers: 0 });
});
afterAll(() => world.close());

/** A counter that no other test draws on. */
const freshCounter = () => SUBJECTS.counter('day', world.tenant, randomUUID().slice(0, 8), 0);

/** The counters of a worker that can be cut off: what it does afterwards reaches nobody, as if it were killed. */
async function worker() {
  const bus = await world.bus('decision-worker');
  const counters = createCounters(bus, log);
  const publish = recordPublisher(bus, readMacKeys(world.macKeysFile));
  return {
    ...counters,
    take: async (counter: string, units = 1): Promise<Draw> => {
      const drawn = await counters.draw({ counter, units, limit: LIMIT });
      if (!drawn.fits) throw new Error('over');
      return drawn.draw;
    },
    /** As judge.ts does it: the record names what was drawn. */
    record: async (...draws: Draw[]) => {
      const leaf = JSON.stringify({ id: randomUUID(), verdict: 'allow' });
      const payload = JSON.stringify({ sections: { evidence: { draws } } });
      await publish(SUBJECTS.decisionBatch(0), encodeRecords([{ leaf, payload }]));
    },
    kill: bus.close,
  };
}

async function settler() {
  const bus = await world.bus('budget-settler');
  const keys = readMacKeys(world.macKeysFile);
  let units = 0;
  const parts = {
    bus,
    keys,
    add: addOnce(bus),
    log,
    now: Date.now,
    onGivenBack: (more: number) => (units += more),
  };
  return {
    pass: (silentMs = 0) => settleLeases({ ...parts, silentMs }),
    given: () => units,
  };
}

const peek = async (counter: string) =>
  createCounters(await world.bus('decision-worker'), log).peek(counter);

describe('a worker that is killed', () => {
  it('leaks what it took and did not record only until its journal was silent for the lease', async () => {
    const counter = freshCounter();
    const one = await worker();
    const draws = await Promise.all(Array.from({ length: 5 }, () => one.take(counter)));
    await one.record(draws[0]!, draws[1]!);
    await one.kill();
    const { pass, given } = await settler();
    await pass(60_000);
    expect([await peek(counter), given()]).toEqual([5, 0]);
    await pass();
    expect([await peek(counter), given()]).toEqual([2, 3]);
    await pass();
    expect([await peek(counter), given()]).toEqual([2, 3]);
  });

  it('leaks nothing that it had given back, and nothing of larger units', async () => {
    const counter = freshCounter();
    const one = await worker();
    const [kept, returned] = [await one.take(counter, 30), await one.take(counter, 20)];
    one.giveBack([returned]);
    await expect.poll(() => peek(counter)).toBe(30);
    expect(kept.units).toBe(30);
    await one.kill();
    const { pass, given } = await settler();
    await pass();
    expect([await peek(counter), given()]).toEqual([0, 30]);
  });

  it('is settled once, however many settlers look at once', async () => {
    const counter = freshCounter();
    const one = await worker();
    await one.take(counter, 7);
    await one.kill();
    const settlers = await Promise.all([settler(), settler(), settler()]);
    await Promise.all(settlers.map(({ pass }) => pass()));
    expect(await peek(counter)).toBe(0);
    expect(settlers.reduce((sum, { given }) => sum + given(), 0)).toBe(7);
  });

  it('gets nothing back for a take that never reached its counter', async () => {
    const journal = randomUUID();
    const counter = freshCounter();
    const entry = {
      v: 1,
      takes: [{ counter, name: `${journal}.1`, units: 9 }],
      returns: [],
      clear: false,
    };
    await world.operator.js.publish(SUBJECTS.journal(journal), JSON.stringify(entry));
    const { pass, given } = await settler();
    await pass();
    expect([await peek(counter), given()]).toEqual([0, 0]);
  });
});

describe('a worker that lives', () => {
  it('says that nothing is open once that is so, and is left alone', async () => {
    const counter = freshCounter();
    const one = await worker();
    const draw = await one.take(counter);
    await one.record(draw);
    one.spent([draw]);
    await one.settled();
    const before = await world.operator.jsm.streams.info('JOURNAL', { subjects_filter: '>' });
    expect(Object.keys(before.state.subjects ?? {})).toHaveLength(1);
    const { pass, given } = await settler();
    await pass();
    expect([await peek(counter), given()]).toEqual([1, 0]);
    const after = await world.operator.jsm.streams.info('JOURNAL', { subjects_filter: '>' });
    expect(after.state.subjects ?? {}).toEqual({});
  });

  it('never uses or gives back what it took too long ago', async () => {
    const counter = freshCounter();
    const one = await worker();
    const draw = await one.take(counter);
    const stoodStill = performance.now() + 31_000;
    const clock = vi.spyOn(performance, 'now').mockReturnValue(stoodStill);
    one.giveBack([draw]);
    await one.settled();
    clock.mockRestore();
    expect(await peek(counter)).toBe(1);
    await one.kill();
    const { pass, given } = await settler();
    await pass();
    expect([await peek(counter), given()]).toEqual([0, 1]);
  });
});

describe('the name of a take', () => {
  it('is known to the counter: the same addition counts once', async () => {
    const counter = freshCounter();
    const add = addOnce(await world.bus('budget-settler'));
    expect([await add(counter, 5, 'a'), await add(counter, 5, 'a')]).toEqual([false, true]);
    expect(await peek(counter)).toBe(5);
  });
});

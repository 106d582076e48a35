// Budget counters of several workers on one broker: never over, exact near the limit, few messages far from it.

import { randomUUID } from 'node:crypto';

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Draw } from '#contracts/budget.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { createLog } from '#host/log.ts';

import {
  type Counters,
  createCounters,
} from '../../../services/decision-worker/points/counters.ts';
import { runs } from '../../support/runs.ts';
import { startWorld, type World } from '../../support/world.ts';

const WORKERS = 3;

let world: World;
const workers: Counters[] = [];
beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  for (let count = 0; count < WORKERS; count += 1) {
    workers.push(createCounters(await world.bus('decision-worker'), createLog('test', 'fatal')));
  }
});
afterAll(() => world.close());

const freshCounter = () => SUBJECTS.counter('day', world.tenant, randomUUID().slice(0, 8), 0);
const peek = (counter: string) => workers[0]!.peek(counter);
const stored = async () => (await world.operator.jsm.streams.info('COUNT_DAY')).state.last_seq;

describe('draws that race', () => {
  /** A call: the worker that judges it, what it wants, and whether it is refused later, so that it gives back. */
  const call = fc.record({
    worker: fc.nat(WORKERS - 1),
    units: fc.integer({ min: 1, max: 30 }),
    refused: fc.boolean(),
    pause: fc.boolean(),
  });

  it('never hold more than the limit, and the counter ends at what was kept', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(call, { minLength: 30, maxLength: 60 }),
        fc.oneof(fc.integer({ min: 30, max: 300 }), fc.constant(20_000)),
        async (calls, limit) => {
          const counter = freshCounter();
          let held = 0;
          let most = 0;
          const one = async ({ worker, units, refused }: (typeof calls)[number]) => {
            const drawn = await workers[worker]!.draw({ counter, units, limit });
            if (!drawn.fits) return 0;
            held += units;
            most = Math.max(most, held);
            expect(drawn.used).toBeLessThanOrEqual(limit);
            if (!refused) {
              workers[worker]!.spent([drawn.draw]);
              return units;
            }
            await new Promise(setImmediate);
            held -= units;
            workers[worker]!.giveBack([drawn.draw]);
            return 0;
          };
          const running: Promise<number>[] = [];
          for (const each of calls) {
            running.push(one(each));
            if (each.pause) await Promise.allSettled(running);
          }
          const kept = (await Promise.all(running)).reduce((sum, units) => sum + units, 0);
          expect(most).toBeLessThanOrEqual(limit);
          await Promise.all(workers.map(({ settled }) => settled()));
          expect(await peek(counter)).toBe(kept);
        },
      ),
      runs(40),
    );
  });

  it('of one unit each fill a limit to the last unit, over all workers at once', async () => {
    const counter = freshCounter();
    const drawn = await Promise.all(
      Array.from({ length: 90 }, (_, index) =>
        workers[index % WORKERS]!.draw({ counter, units: 1, limit: 50 }),
      ),
    );
    expect(drawn.filter(({ fits }) => fits)).toHaveLength(50);
    await expect.poll(() => peek(counter)).toBe(50);
  });

  it('fit in their order: a larger one that is over lets a smaller one behind it through', async () => {
    const counter = freshCounter();
    const [first, large, small] = await Promise.all(
      [6, 5, 4].map((units) => workers[0]!.draw({ counter, units, limit: 10 })),
    );
    expect([first?.fits, large?.fits, small?.fits]).toEqual([true, false, true]);
  });
});

describe('far from the limit', () => {
  it('a worker keeps some units at hand, gives back what it does not need, and says so', async () => {
    const counter = freshCounter();
    const before = await stored();
    const draws: Draw[] = [];
    for (let count = 1; count <= 190; count += 1) {
      const drawn = await workers[0]!.draw({ counter, units: 1, limit: 1_000_000 });
      if (!drawn.fits) throw new Error('over');
      expect(drawn.used).toBe(count);
      draws.push(drawn.draw);
    }
    expect((await stored()) - before).toBeLessThan(12);
    expect(await peek(counter)).toBeGreaterThan(190);
    workers[0]!.spent(draws);
    await expect.poll(() => peek(counter), { timeout: 5_000 }).toBe(190);
  });

  it('a limit that was lowered holds for what is at hand, too', async () => {
    const counter = freshCounter();
    const draw = (limit: number) => workers[0]!.draw({ counter, units: 1, limit });
    for (let count = 0; count < 30; count += 1) await draw(1_000_000);
    expect(await peek(counter)).toBeGreaterThan(30);
    expect((await draw(30)).fits).toBe(false);
    expect((await draw(1_000_000)).fits).toBe(true);
  });

  it('never more than a 256th of what is left is at hand', async () => {
    const counter = freshCounter();
    for (let count = 0; count < 20; count += 1)
      await workers[0]!.draw({ counter, units: 1, limit: 600 });
    expect(await peek(counter)).toBeLessThanOrEqual(22);
  });
});

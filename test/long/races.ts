// Calls of eight workers that race for one unit each of a counter at a real broker: exactly the ceiling fits, each time.

import { randomUUID } from 'node:crypto';

import { SUBJECTS } from '#contracts/subjects.ts';
import { createLog } from '#host/log.ts';
import { startWorld } from '#test/support/world.ts';

import { createCounters } from '../../services/decision-worker/points/counters.ts';
import type { Job } from './main.ts';
import { dice } from './random.ts';

const WORKERS = 8;
const CALLS = 1_000;
const CEILING_MAX = 250;

export const races: Job = async ({ runs, seed, onProgress }) => {
  const { roll } = dice(seed);
  const world = await startWorld({ workers: 0 });
  try {
    await world.operator.jsm.streams.update('JOURNAL', { max_bytes: -1 }); // ten times what a worker does
    const log = createLog('test', 'fatal');
    const buses = await Promise.all(
      Array.from({ length: WORKERS }, () => world.bus('decision-worker')),
    );
    const workers = buses.map((bus) => createCounters(bus, log));
    let admitted = 0;
    for (let run = 0; run < runs; run += CALLS) {
      const counter = SUBJECTS.counter('day', world.tenant, randomUUID().slice(0, 8), 0);
      const limit = 1 + roll(CEILING_MAX);
      const drawn = await Promise.all(
        Array.from({ length: CALLS }, async (_, call) => {
          // Not all in one turn, else each worker would ask for all of its calls at once.
          for (let turns = roll(4); turns > 0; turns -= 1) await new Promise(setImmediate);
          const one = await workers[call % WORKERS]?.draw({ counter, units: 1, limit });
          if (one?.fits === true) workers[call % WORKERS]?.spent([one.draw]);
          return one?.fits === true;
        }),
      );
      const fit = drawn.filter(Boolean).length;
      if (fit !== limit) throw new Error(`${fit} of ${CALLS} calls fit under ${limit}: ${counter}`);
      admitted += fit;
      await onProgress(run + CALLS);
    }
    await Promise.all(workers.map(({ settled }) => settled()));
    return `${admitted} admitted under ${Math.ceil(runs / CALLS)} ceilings, each to the last unit and never over`;
  } finally {
    await world.close();
  }
};

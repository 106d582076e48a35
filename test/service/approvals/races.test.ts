// Thirty-two racers on each held call, with a crash at any step of any of them: at most one release, and what is told in the
// end is what is stored. `npm run test:long -- --only approvals` runs a hundred thousand of them.

import { randomInt } from 'node:crypto';

import { expect, it } from 'vitest';

import { runRaces } from '#test/support/approval-races.ts';

const RACES = 2_000;

it(`${RACES} races of 32, with crashes at every step: nothing is released twice`, async () => {
  const { released, steps, ...rest } = await runRaces(RACES, randomInt, () => undefined);
  expect(rest).toEqual({ done: RACES, faults: [], untold: 0, events: steps, uses: released });
  // The races must be races: many are released, many are not.
  expect(released).toBeGreaterThan(RACES / 20);
  expect(released).toBeLessThan(RACES);
}, 600_000);

// How far a clock is off, by a reading of another one that took some time.

import { expect, it } from 'vitest';

import { clockFault, clockIsOff, clockOffMs } from '#host/clock.ts';

/** The other clock showed 10,000 between 100 and 130 of our monotonic time; now is 1,100. */
const reading = { theirs: 10_000, from: 100, to: 130 };
const HOUR = 3_600_000;

const cases: [name: string, ours: number, off: number][] = [
  ['the same', 10_985, 0],
  ['the earliest that it may show', 10_970, 0],
  ['the latest that it may show', 11_000, 0],
  ['ahead', 11_001, 1],
  ['behind', 10_969, -1],
  ['an hour ahead', 11_000 + HOUR, HOUR],
  ['an hour behind', 10_970 - HOUR, -HOUR],
];
it.each(cases)('%s', (_, ours, off) => {
  expect(clockOffMs(reading, ours, 1_100)).toBe(off);
});

it('five seconds have no effect, more have', () => {
  expect([5_000, -5_000, 5_001, -5_001].map(clockIsOff)).toEqual([false, false, true, true]);
  expect([0, 5_000, HOUR, -HOUR].map((off) => clockFault(off, "the broker's"))).toEqual([
    '',
    '',
    "this clock is 3600 s ahead of the broker's",
    "this clock is 3600 s behind the broker's",
  ]);
});

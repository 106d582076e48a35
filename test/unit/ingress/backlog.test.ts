import { expect, it } from 'vitest';

import { createBacklog } from '../../../services/ingress/backlog.ts';

/** Limits seen at the end of half seconds with so many answers each. */
function limits(max: number, answersPerWindow: readonly number[]): number[] {
  const backlog = createBacklog(max);
  backlog.limit(10_000);
  return answersPerWindow.map((answers, window) => {
    for (let count = 0; count < answers; count += 1) backlog.answered();
    return backlog.limit(10_000 + (window + 1) * 500);
  });
}

it('lets as many calls wait as were answered in the last half second', () => {
  expect(limits(10_000, [4_000, 2_500, 6_000])).toEqual([4_000, 2_500, 6_000]);
});

it('keeps room for a burst, however little was answered', () => {
  expect(limits(10_000, [0, 20, 0])).toEqual([1_000, 1_000, 1_000]);
});

it('never goes beyond the fixed bound', () => {
  expect(limits(3_000, [8_000])).toEqual([3_000]);
  expect(limits(200, [0])).toEqual([200]);
});

it('scales what came in a longer time', () => {
  const backlog = createBacklog(10_000);
  backlog.limit(10_000);
  for (let count = 0; count < 9_000; count += 1) backlog.answered();
  expect(backlog.limit(12_250)).toBe(2_000);
  expect(backlog.limit(12_400)).toBe(2_000);
});

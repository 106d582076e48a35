// How an allow has ended: as reported, delivered where it was only asked for, and open where it is still on its way.

import { expect, it } from 'vitest';

import { endOf, outcomeThatCounts, type OutcomeStatus } from '#contracts/outcome.ts';

it.each<[verdict: string, forwards: boolean, reported: OutcomeStatus | undefined, end: string]>([
  ['allow', false, undefined, 'delivered'],
  ['allow', false, 'failed', 'failed'],
  ['allow', true, undefined, ''],
  ['allow', true, 'executed', 'executed'],
  ['allow', true, 'unknown', 'unknown'],
  ['block', false, undefined, ''],
  ['escalate', false, undefined, ''],
])('%s, forwarded by us: %s, reported: %s', (verdict, forwards, reported, end) => {
  expect(endOf({ verdict, forwards }, reported)).toBe(end);
});

it.each<[by: string[], counts: number | undefined]>([
  [[], undefined],
  [['ingress'], 0],
  [['chainer'], 0],
  [['chainer', 'ingress'], 1],
  [['caller', 'chainer'], 0],
])('of outcomes by %j, number %s counts', (by, counts) => {
  const outcomes = by.map((reportedBy, at) => ({ reportedBy, at }));
  expect(outcomeThatCounts(outcomes, ({ reportedBy }) => reportedBy)?.at).toBe(counts);
});

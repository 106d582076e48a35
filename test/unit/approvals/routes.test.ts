// Which route a held call takes, and what an agent is told in each state.

import { describe, expect, it } from 'vitest';

import { type ApprovalRoute, planFor } from '#contracts/approval-route.ts';
import { HELD_WORDS, heldAs, toldAs } from '#contracts/approval.ts';
import type { ApprovalRequest } from '#contracts/policy.ts';

const ROUTES: readonly ApprovalRoute[] = [
  { name: 'named', stages: [{ quorum: 2 }] },
  { name: 'payments', match: { tools: ['pay'], amount: { path: '/sum/amount', above: 100 } } },
  { name: 'risky', match: { risks: ['high', 'critical'] } },
];
const routeOf = (asked: ApprovalRequest, args: object = {}, routes = ROUTES, tool = 'pay') =>
  planFor(routes, { tool, arguments: args as never, asked })?.route;

describe('the route of a call', () => {
  it.each([
    ['is the one that the policy names', { route: 'named' }, {}, 'named'],
    ['is none where the named one does not exist', { route: 'gone' }, {}, undefined],
    ['is the first that matches', {}, { sum: { amount: 101 } }, 'payments'],
    ['does not match at the bound itself', {}, { sum: { amount: 100 } }, undefined],
    ['takes an amount that is none for a large one', {}, { sum: { amount: '1' } }, 'payments'],
    ['takes a missing amount for a large one', {}, {}, 'payments'],
    ['matches by risk', { risk: 'high' }, { sum: { amount: 1 } }, 'risky'],
    ['is none where nothing matches', { risk: 'low' }, { sum: { amount: 1 } }, undefined],
  ] as const)('%s', (_, asked, args, expected) => {
    expect(routeOf(asked, args)).toBe(expected);
  });

  it('asks every approver where a tenant has no routes, whatever the policy calls them', () => {
    expect(planFor([], { tool: 'pay', arguments: {}, asked: { route: 'refunds' } })).toEqual({
      route: 'refunds',
      stages: [{ name: 'stage 1', approvers: [], quorum: 1 }],
      tiers: [{ name: 'tier 1', after_s: 0, channels: [], remind_s: 0 }],
      step_up_s: 0,
    });
  });

  it.each([
    ['raises a quorum that the route sets lower', 5, [5]],
    ['does not lower one that the route sets higher', 1, [2]],
    ['leaves it where the policy says nothing', undefined, [2]],
  ])('the policy %s', (_, quorum, expected) => {
    const asked = { route: 'named', ...(quorum === undefined ? {} : { quorum }) };
    const plan = planFor(ROUTES, { tool: 'pay', arguments: {}, asked });
    expect(plan?.stages.map((stage) => stage.quorum)).toEqual(expected);
  });
});

describe('what an agent is told', () => {
  it('names what helps, promises nothing of an ended call, and calls silence no no', () => {
    expect(
      Object.fromEntries(Object.entries(HELD_WORDS).map(([state, { next }]) => [state, next])),
    ).toEqual({
      pending: 'wait',
      approved: 'repeat',
      used: 'stop',
      denied: 'stop',
      edited: 'stop',
      expired: 'repeat',
      cancelled: 'stop',
      superseded: 'repeat',
      no_channel: 'stop',
    });
    for (const state of ['denied', 'expired', 'cancelled', 'superseded', 'no_channel'] as const) {
      expect(HELD_WORDS[state].text).toContain('did not run');
    }
    expect(HELD_WORDS.expired.text).toContain('not a no');
    for (const state of ['pending', 'denied'] as const) {
      expect(HELD_WORDS[state].text).toContain('do not look for another way to the same effect');
    }
  });

  it.each([
    ['a spent approval', { state: 'approved', used: 1, uses: 1, expires_at: 10 }, 5, 'used'],
    [
      'one past its time that nobody noted',
      { state: 'pending', used: 0, uses: 1, expires_at: 10 },
      10,
      'expired',
    ],
    [
      'an approval past its time',
      { state: 'approved', used: 0, uses: 1, expires_at: 10 },
      10,
      'expired',
    ],
    ['a no, also later', { state: 'denied', used: 0, uses: 1, expires_at: 10 }, 99, 'denied'],
  ] as const)('%s', (_, entry, at, expected) => {
    expect(heldAs(entry, at)).toBe(expected);
    expect(toldAs(entry, at)).toBe(expected);
  });

  it.each(['approved', 'expired', 'superseded', 'cancelled'] as const)(
    'nobody is told that a released call did not run, also when its approval is %s',
    (state) => {
      expect(toldAs({ state, used: 1, uses: 1, expires_at: 10 }, 99)).toBe('used');
      // Whoever asks again after its time is asked about again.
      if (state !== 'approved')
        expect(heldAs({ state, used: 1, uses: 1, expires_at: 10 }, 99)).toBe(state);
    },
  );
});

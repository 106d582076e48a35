// What a grant covers: bounds on named arguments, and everything else byte for byte.

import { describe, expect, it } from 'vitest';

import {
  type ArgumentBound,
  covers,
  coverOf,
  grantable,
  type GrantCover,
  grantBindingOf,
} from '#contracts/approval-grant.ts';
import type { JsonObject } from '#contracts/json.ts';

const APPROVED: JsonObject = {
  amount: 10,
  currency: 'EUR',
  order: { id: 'ord_1', lines: [{ sku: 'a', count: 1 }] },
};
const BOUNDS: ArgumentBound[] = [
  { path: '/amount', min: 1, max: 50 },
  { path: '/currency', one_of: ['EUR', 'USD'] },
  { path: '/order/id', prefix: 'ord_' },
  { path: '/order/lines/0/count', min: 1, max: 3 },
];

function coverGiven(args: JsonObject, bounds: ArgumentBound[]): GrantCover {
  const cover = coverOf(args, bounds);
  if ('fault' in cover) throw new Error(cover.fault);
  return cover;
}

const order = (id: unknown, lines: unknown) => ({ id, lines }) as JsonObject;
const line = (count: unknown, sku = 'a') => [{ sku, count }];

describe('a grant', () => {
  it.each<[string, JsonObject, boolean]>([
    ['the approved call', APPROVED, true],
    ['the lower end', { ...APPROVED, amount: 1 }, true],
    ['the upper end', { ...APPROVED, amount: 50 }, true],
    ['below', { ...APPROVED, amount: 0.99 }, false],
    ['above', { ...APPROVED, amount: 50.01 }, false],
    ['a number as text', { ...APPROVED, amount: '10' }, false],
    ['null', { ...APPROVED, amount: null }, false],
    ['another of the values', { ...APPROVED, currency: 'USD' }, true],
    ['no such value', { ...APPROVED, currency: 'usd' }, false],
    ['another beginning', { ...APPROVED, order: order('x_1', line(1)) }, false],
    ['text that goes on', { ...APPROVED, order: order('ord_2; drop', line(1)) }, true],
    ['a place in a list', { ...APPROVED, order: order('ord_1', line(3)) }, true],
    ['too many in a list', { ...APPROVED, order: order('ord_1', line(4)) }, false],
    ['what no bound names', { ...APPROVED, order: order('ord_1', line(1, 'b')) }, false],
    ['an argument more', { ...APPROVED, note: 'x' }, false],
    ['a null more', { ...APPROVED, note: null }, false],
    ['an argument less', { amount: 10, currency: 'EUR' }, false],
    ['a line more', { ...APPROVED, order: order('ord_1', [...line(1), ...line(1)]) }, false],
    [
      'an object in place of a list',
      { ...APPROVED, order: order('ord_1', { 0: line(1)[0] }) },
      false,
    ],
  ])('%s', (_, args, expected) => {
    expect(covers(coverGiven(APPROVED, BOUNDS), args)).toBe(expected);
  });

  it('without bounds covers the same arguments only', () => {
    const cover = coverGiven(APPROVED, []);
    expect(covers(cover, { ...APPROVED })).toBe(true);
    expect(covers(cover, { ...APPROVED, amount: 11 })).toBe(false);
  });

  it.each<[string, ArgumentBound[]]>([
    ['does not hold for the call itself', [{ path: '/amount', min: 11, max: 12 }]],
    ['is over nothing', [{ path: '/nothing', prefix: '' }]],
    ['is over an object', [{ path: '/order', prefix: '' }]],
    ['stands twice', [BOUNDS[0]!, BOUNDS[0]!]],
    ['is over a name that every object has', [{ path: '/constructor', prefix: '' }]],
  ])('with a bound that %s cannot be given', (_, bounds) => {
    expect(coverOf(APPROVED, bounds)).toHaveProperty('fault');
  });

  it('is never for the highest class', () => {
    const risks = [undefined, 'low', 'medium', 'high', 'critical'] as const;
    expect(risks.map((risk) => grantable(risk === undefined ? {} : { risk }))).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
  });

  it('has another name for each change of what it is for', () => {
    const key = Buffer.alloc(32, 7);
    const scope = {
      upstream: 'shop',
      tool: 'refund',
      definitionHash: 'd',
      principal: '{}',
      policies: ['f', 't'],
      asked: { risk: 'medium', route: 'r', quorum: 1, effect: 'Pay.', ttl: 60 },
    } as const;
    const changed: readonly object[] = [
      { upstream: 'shop2' },
      { tool: 'refund2' },
      { definitionHash: 'e' },
      { principal: '{"agent":"x"}' },
      { policies: ['t', 'f'] },
      { asked: { ...scope.asked, risk: 'high' } },
      { asked: { ...scope.asked, route: 's' } },
      { asked: { ...scope.asked, quorum: 2 } },
    ];
    const names = changed.map((change) => grantBindingOf(key, { ...scope, ...change }));
    const same = grantBindingOf(key, { ...scope, asked: { ...scope.asked, effect: 'Pay 2.' } });
    expect(new Set([same, ...names]).size).toBe(changed.length + 1);
    expect(same).toBe(grantBindingOf(key, scope));
  });
});

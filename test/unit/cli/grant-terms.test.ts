// How a person types the bounds of a grant.

import { describe, expect, it } from 'vitest';

import { boundsGiven, grantText } from '#cli/grant-terms.ts';

describe('a bound', () => {
  it.each<[string, object]>([
    ['/amount=1..500', { path: '/amount', min: 1, max: 500 }],
    ['/amount=-1.5..2', { path: '/amount', min: -1.5, max: 2 }],
    ['/order_id=ord_*', { path: '/order_id', prefix: 'ord_' }],
    ['/note=*', { path: '/note', prefix: '' }],
    ['/currency=EUR|USD', { path: '/currency', one_of: ['EUR', 'USD'] }],
    ['/count=1|2|true|"3"', { path: '/count', one_of: [1, 2, true, '3'] }],
    ['/a/b=x=y', { path: '/a/b', one_of: ['x=y'] }],
  ])('%s', (text, expected) => {
    expect(boundsGiven(text)).toEqual([expected]);
  });

  it.each(['amount=1', '=1', '/=1', '/amount', ''])('%j is none', (text) => {
    expect(() => boundsGiven(text)).toThrow('A bound is');
  });

  it('is told in the words in which it is typed', () => {
    const bounds = boundsGiven('/order_id=ord_*', boundsGiven('/amount=1..500'));
    expect(grantText({ uses: 3, for_s: 600, bounds: [...bounds] })).toBe(
      '3 more within 10 min, where only /amount=1..500, /order_id=ord_* may differ',
    );
    expect(grantText({ uses: 1, for_s: 61, bounds: [] })).toBe(
      '1 more within 2 min, of exactly these arguments',
    );
  });
});

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { holesIn, type Span, spansOf } from '../../../services/audit-chainer/spooled.ts';

test.each<[name: string, given: number[], expected: Span[]]>([
  ['nothing', [], []],
  ['one', [7], [{ first: 7, last: 7 }]],
  ['a run, in any order and twice', [3, 1, 2, 2], [{ first: 1, last: 3 }]],
  [
    'two runs',
    [1, 2, 4],
    [
      { first: 1, last: 2 },
      { first: 4, last: 4 },
    ],
  ],
])('spans of %s', (_name, given, expected) => {
  expect(spansOf(given)).toEqual(expected);
});

test.each<[name: string, spans: Span[], through: number, expected: Span[]]>([
  ['an empty stream', [], 0, []],
  ['nothing handled', [], 3, [{ first: 1, last: 3 }]],
  ['everything handled, and more', [{ first: 1, last: 9 }], 3, []],
  ['a hole at the beginning', [{ first: 3, last: 4 }], 4, [{ first: 1, last: 2 }]],
  [
    'a hole within',
    [
      { first: 5, last: 6 },
      { first: 1, last: 2 },
    ],
    6,
    [{ first: 3, last: 4 }],
  ],
  ['a hole at the end', [{ first: 1, last: 2 }], 4, [{ first: 3, last: 4 }]],
  [
    'what is not acknowledged yet',
    [
      { first: 1, last: 2 },
      { first: 9, last: 9 },
    ],
    4,
    [{ first: 3, last: 4 }],
  ],
  [
    'spans that overlap',
    [
      { first: 1, last: 8 },
      { first: 2, last: 3 },
    ],
    8,
    [],
  ],
])('holes in %s', (_name, spans, through, expected) => {
  expect(holesIn(spans, through)).toEqual(expected);
});

test('what was not handled stands in the holes, and nothing else does', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 60 })), fc.nat(60), (handled, through) => {
      const missing = holesIn(spansOf(handled), through).flatMap(({ first, last }) =>
        Array.from({ length: last - first + 1 }, (_, at) => first + at),
      );
      const all = Array.from({ length: through }, (_, at) => at + 1);
      expect(missing).toEqual(all.filter((sequence) => !handled.includes(sequence)));
    }),
  );
});

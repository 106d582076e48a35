import { expect, test } from 'vitest';

import type { Json } from '#contracts/json.ts';

import { mergePatch } from '../../../services/admin/merge-patch.ts';

/** RFC 7396, appendix A, in its order. */
const VECTORS: readonly (readonly [original: Json, patch: Json, result: Json])[] = [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [
    ['a', 'b'],
    ['c', 'd'],
    ['c', 'd'],
  ],
  [{ a: 'b' }, ['c'], ['c']],
  [{ a: 'foo' }, null, null],
  [{ a: 'foo' }, 'bar', 'bar'],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: 'b', c: null }, { a: 'b' }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

test.each(VECTORS)('%j patched with %j is %j', (original, patch, result) => {
  expect(mergePatch(original, patch)).toEqual(result);
});

test('a patch of nothing makes an object without the removed members', () => {
  expect(mergePatch(undefined, { state: 'open', note: null })).toEqual({ state: 'open' });
});

test('neither the document nor the patch is changed', () => {
  const original = Object.freeze({ a: Object.freeze({ b: 1 }) });
  const patch = Object.freeze({ a: Object.freeze({ c: 2 }) });
  expect(mergePatch(original, patch)).toEqual({ a: { b: 1, c: 2 } });
});

test('a member that only the prototype has is not merged into', () => {
  expect(mergePatch({}, { toString: { a: 1 } })).toEqual({ toString: { a: 1 } });
});

import { describe, expect, test } from 'vitest';

import { readChange } from '#contracts/change.ts';
import { factKey, factName } from '#contracts/fact-name.ts';

const leaf = {
  action: 'put',
  at: 5,
  by: 'ada',
  commitments: {},
  id: '1',
  kind: 'control.agent',
  reason: '',
  target: 'bot',
  tenant: 'acme',
  v: 1,
};
const record = (changed: object, value: unknown = {}) => ({
  leaf: JSON.stringify({ ...leaf, ...changed }),
  payload: JSON.stringify({ salts: {}, sections: { value }, v: 1 }),
});

describe('a control record', () => {
  test('is read as its change', () => {
    expect(readChange(record({}, { class: 'x' }))).toEqual({
      is: 'change',
      event: {
        tenant: 'acme',
        at: 5,
        change: { kind: 'agent', action: 'put', target: 'bot', value: { class: 'x' } },
      },
    });
  });

  const CASES: readonly (readonly [
    name: string,
    given: { leaf: string; payload: string },
    is: string,
  ])[] = [
    ['of the platform', record({ tenant: '_platform' }), 'change'],
    ['a deletion', record({ action: 'delete' }, null), 'change'],
    ['an alert', record({ kind: 'control.alert', action: 'raise' }, { anything: 1 }), 'stateless'],
    ['a read of a payload', record({ kind: 'control.read', action: 'payload' }), 'stateless'],
    ['of a kind that comes later', record({ kind: 'control.switch' }), 'unknown'],
    ['of an action that comes later', record({ action: 'suspend' }), 'unknown'],
    ['with a value of another shape', record({}, { size: 1 }), 'unreadable'],
    ['with a member of an object', record({ kind: 'control.constructor' }), 'unknown'],
    ['of no tenant', record({ tenant: 'Acme' }), 'unreadable'],
    ['without a leaf', { leaf: '{}', payload: record({}).payload }, 'unreadable'],
    ['without a payload', { leaf: record({}).leaf, payload: 'x' }, 'unreadable'],
  ];
  test.each(CASES)('%s', (_, given, is) => {
    expect(readChange(given).is).toBe(is);
  });
});

describe('the name of a fact', () => {
  const NAMES: readonly (readonly [name: string, key: string | undefined])[] = [
    ['orders/17', 'orders/17'],
    ['people/ann@example.com', 'people/ann=40example=2Ecom'],
    ['files/src%2Fmain.ts', 'files/src=2Fmain=2Ets'],
    ['share/100%25', 'share/100=25'],
    ['words/bl%C3%A5', 'words/bl=C3=A5'],
    ['words/blå', 'words/bl=C3=A5'],
    ['a=b', 'a=3Db'],
    ['', undefined],
    ['/a', undefined],
    ['a//b', undefined],
    ['a/%ff', undefined],
    ['a/100%', undefined],
    ['a/\ud800', undefined],
    ['x'.repeat(513), undefined],
    [Array.from({ length: 17 }, () => 'a').join('/'), undefined],
  ];
  test.each(NAMES)('%s', (name, key) => {
    expect(factKey(name)).toBe(key);
    if (key !== undefined) expect(factKey(factName(key))).toBe(key);
  });
});

// The list of keys that tool servers get: in use, well-formed, and for who can check it, of a worker.

import { expect, it } from 'vitest';

import { receiptJwks, type ReceiptKey, receiptKey } from '#contracts/receipt-key.ts';

const NOW = 1_800_000_000_000;
const KEY = 'A'.repeat(43);
const OTHER = 'B'.repeat(43);
const MAC = new Uint8Array(32).fill(1);
const MAC_KEYS = new Map([['decision-worker', [MAC]]]);
const entry = (change: Partial<ReceiptKey> = {}) => ({
  ...receiptKey(KEY, { worker: 'w1', until: NOW + 1 }, MAC),
  ...change,
});
const forged = receiptKey(KEY, { worker: 'w1', until: NOW + 1 }, new Uint8Array(32).fill(2));

/** Listed by who believes what stands in the bucket, and by who checks it. */
type Listed = readonly [believed: boolean, checked: boolean];

it.each<[what: string, key: string, value: unknown, listed: Listed]>([
  ['a key of a worker', KEY, entry(), [true, true]],
  [
    'a key that has ended',
    KEY,
    receiptKey(KEY, { worker: 'w1', until: NOW - 1 }, MAC),
    [false, false],
  ],
  ['an entry of another key', OTHER, entry(), [true, false]],
  [
    'an entry that lives longer than it was made for',
    KEY,
    entry({ until: NOW + 9 }),
    [true, false],
  ],
  ['an entry of another worker', KEY, entry({ worker: 'w2' }), [true, false]],
  ['an entry that another process made', KEY, forged, [true, false]],
  ['an entry without a MAC', KEY, entry({ mac: '' }), [true, false]],
  ['a key of another form', 'short', entry(), [false, false]],
  ['a deleted entry', KEY, null, [false, false]],
  ['an entry of another form', KEY, { until: NOW + 1 }, [false, false]],
])('%s', (_, key, value, listed) => {
  expect([
    receiptJwks([[key, value]], NOW).keys.length === 1,
    receiptJwks([[key, value]], NOW, MAC_KEYS).keys.length === 1,
  ]).toEqual(listed);
});

it('is a JSON Web Key Set, the youngest first', () => {
  const of = (key: string, until: number) =>
    [key, receiptKey(key, { worker: 'w1', until }, MAC)] as const;
  expect(receiptJwks([of(KEY, NOW + 5_000), of(OTHER, NOW + 9_000)], NOW, MAC_KEYS)).toEqual({
    keys: [OTHER, KEY].map((x, at) => ({
      kty: 'OKP',
      crv: 'Ed25519',
      alg: 'EdDSA',
      use: 'sig',
      kid: x,
      x,
      exp: NOW / 1_000 + (at === 0 ? 9 : 5),
    })),
  });
});

import { createHash } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';

import {
  AlteredContent,
  type AtRest,
  atRest,
  type ContentPlace,
  UnknownKey,
} from '#host/at-rest.ts';
import { ConfigError } from '#host/config.ts';
import { xaes } from '#host/xaes.ts';

const keyOf = (byte: number) => new Uint8Array(32).fill(byte);
const place = fc.record({
  table: fc.constantFrom<ContentPlace['table']>('payloads', 'approvals', 'notices'),
  tenant: fc.string({ minLength: 1 }),
  id: fc.string({ minLength: 1 }),
});
const text = fc.string({ unit: 'grapheme', maxLength: 2_000 }).map((one) => JSON.stringify(one));
const ours = atRest([keyOf(1)]);

describe('content at rest', () => {
  it('comes back as it was, and shows nothing of itself', () => {
    fc.assert(
      fc.property(text, place, (plain, where) => {
        const sealed = ours.seal(plain, where);
        expect(ours.open(sealed, where)).toBe(plain);
        expect(plain.length > 8 && sealed.includes(plain)).toBe(false);
        expect(ours.seal(plain, where)).not.toEqual(sealed);
      }),
    );
  });

  it('is refused with any bit flipped', () => {
    fc.assert(
      fc.property(text, place, fc.nat(), fc.nat(7), (plain, where, at, bit) => {
        const sealed = ours.seal(plain, where);
        // Behind the format and the key's id, which have answers of their own.
        const byte = 5 + (at % (sealed.length - 5));
        sealed[byte] = (sealed[byte] ?? 0) ^ (1 << bit);
        expect(() => ours.open(sealed, where)).toThrow(AlteredContent);
      }),
    );
  });

  it('is refused cut short, in any other row, and of any other table', () => {
    fc.assert(
      fc.property(text, place, place, fc.nat(), (plain, where, elsewhere, length) => {
        fc.pre(JSON.stringify(where) !== JSON.stringify(elsewhere));
        const sealed = ours.seal(plain, where);
        expect(() => ours.open(sealed, elsewhere)).toThrow(AlteredContent);
        const cut = sealed.subarray(0, 5 + (length % (sealed.length - 5)));
        expect(() => ours.open(cut, where)).toThrow(AlteredContent);
      }),
    );
  });

  const here: ContentPlace = { table: 'payloads', tenant: 'acme', id: '1' };

  it('is opened by every key that is given, and sealed with the first', () => {
    const old = ours.seal('{}', here);
    const rotated = atRest([keyOf(2), keyOf(1)]);
    expect(rotated.open(old, here)).toBe('{}');
    expect(old.subarray(0, rotated.newest.length)).not.toEqual(rotated.newest);
    const anew = rotated.seal('{}', here);
    expect(anew.subarray(0, rotated.newest.length)).toEqual(rotated.newest);
    expect(atRest([keyOf(2)]).open(anew, here)).toBe('{}');
  });

  it('names a key that is missing', () => {
    const sealed = ours.seal('{}', here);
    const id = sealed.toString('hex', 1, 5);
    const open = () => atRest([keyOf(2)]).open(sealed, here);
    expect(open).toThrow(UnknownKey);
    expect(open).toThrow(id);
  });

  it('is read as it stands where it was stored before contents were sealed', () => {
    expect(ours.open(Buffer.from('{"v":1,"ä":""}'), here)).toBe('{"v":1,"ä":""}');
  });

  test.each<[string, readonly Uint8Array[]]>([
    ['none', []],
    ['one twice', [keyOf(1), keyOf(1)]],
  ])('keys: %s is a fault of the configuration', (_name, keys) => {
    expect((): AtRest => atRest(keys)).toThrow(ConfigError);
  });
});

describe('XAES-256-GCM, by the vectors of its specification', () => {
  const nonce = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWX');

  test.each([
    [1, '', 'ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271'],
    [3, 'c2sp.org/XAES-256-GCM', '986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d'],
  ])('key %i', (byte, aad, sealed) => {
    const cipher = xaes(keyOf(byte));
    const parts = cipher.seal(nonce, Buffer.from('XAES-256-GCM'), Buffer.from(aad));
    expect(Buffer.concat(parts).toString('hex')).toBe(sealed);
    expect(cipher.open(nonce, Buffer.from(sealed, 'hex'), Buffer.from(aad)).toString()).toBe(
      'XAES-256-GCM',
    );
  });

  it('gives the accumulated hash of 10,000 messages', () => {
    // 32 + 24 + twice 1 to 256 bytes each.
    const stream = createHash('shake128', { outputLength: 10_000 * 570 }).digest();
    let at = 0;
    const take = (length: number) => stream.subarray(at, (at += length));
    const all = createHash('shake128', { outputLength: 32 });
    for (let round = 0; round < 10_000; round++) {
      const [key, random] = [take(32), take(24)];
      const [plain, aad] = [take(take(1)[0]!), take(take(1)[0]!)];
      for (const part of xaes(key).seal(random, plain, aad)) all.update(part);
    }
    expect(all.digest('hex')).toBe(
      'e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939',
    );
  });
});

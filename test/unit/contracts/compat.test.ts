import { describe, expect, test } from 'vitest';

import { importedKey, keyIdOf, openKey, sealKey } from '#contracts/compat.ts';

const KEY = Buffer.from(Array.from({ length: 16 }, (_, at) => 255 - at));
const MASTER = new Uint8Array(32).fill(1);
const OTHER = new Uint8Array(32).fill(2);
const NONCE = new Uint8Array(12).fill(3);

describe('the text of a key', () => {
  const plain = KEY.toString('base64');
  test.each<[name: string, text: string, found: Buffer | undefined]>([
    ['base64', plain, KEY],
    ['without padding', plain.replace(/=+$/, ''), KEY],
    ['of the other alphabet', KEY.toString('base64url'), KEY],
    ['on a line of its own', `${plain}\n`, KEY],
    ['15 bytes', KEY.subarray(1).toString('base64'), undefined],
    ['hexadecimal with a colon', 'ff:fe:fd:fc:fb:fa:f9:f8:f7:f6:f5:f4', undefined],
    ['nothing', '', undefined],
  ])('%s', (_, text, found) => {
    expect(importedKey(text)).toEqual(found);
  });
});

describe('a sealed key', () => {
  const sealed = sealKey(MASTER, 'acme', { key: KEY, nonce: NONCE });

  test.each<
    [name: string, opened: [masters: Uint8Array[], tenant: string, text: string], opens: boolean]
  >([
    ['opens', [[MASTER], 'acme', sealed], true],
    ['opens after the master key was replaced', [[OTHER, MASTER], 'acme', sealed], true],
    ['does not open under another key', [[OTHER], 'acme', sealed], false],
    ['does not open for another tenant', [[MASTER], 'other', sealed], false],
    ['does not open when it was changed', [[MASTER], 'acme', `B${sealed.slice(1)}`], false],
    ['does not open when it was cut', [[MASTER], 'acme', sealed.slice(0, -4)], false],
    ['is not empty', [[MASTER], 'acme', ''], false],
  ])('%s', (_, given, opens) => {
    expect(openKey(...given)).toEqual(opens ? KEY : undefined);
  });

  test('says nothing of the key, and its name does not either', () => {
    expect(Buffer.from(sealed, 'base64url').includes(KEY)).toBe(false);
    expect(keyIdOf(KEY)).toMatch(/^[0-9a-f]{32}$/);
  });
});

// One-time codes against the vectors of RFC 6238 (appendix B, SHA-1, eight digits) and base32 against those of RFC 4648.

import { expect, it } from 'vitest';

import { base32, fromBase32, totpCode, totpStep, totpUri } from '#contracts/totp.ts';

const SECRET = Buffer.from('12345678901234567890');

it.each([
  [59, '94287082'],
  [1_111_111_109, '07081804'],
  [1_111_111_111, '14050471'],
  [1_234_567_890, '89005924'],
  [2_000_000_000, '69279037'],
  [20_000_000_000, '65353130'],
])('the code at %i s', (seconds, expected) => {
  expect(totpCode(SECRET, totpStep(seconds * 1_000), 8)).toBe(expected);
  expect(totpCode(SECRET, totpStep(seconds * 1_000))).toBe(expected.slice(2));
});

it.each([
  ['f', 'MY'],
  ['fo', 'MZXQ'],
  ['foo', 'MZXW6'],
  ['foob', 'MZXW6YQ'],
  ['fooba', 'MZXW6YTB'],
  ['foobar', 'MZXW6YTBOI'],
])('%s in base32', (plain, expected) => {
  expect(base32(Buffer.from(plain))).toBe(expected);
  expect(Buffer.from(fromBase32(`${expected.toLowerCase()}==`) ?? []).toString()).toBe(plain);
});

it.each(['', '0', '1', 'M!'])('%j is no base32', (text) => {
  expect(fromBase32(text)).toBeUndefined();
});

it('an app reads secret and account', () => {
  expect(totpUri(SECRET, 'ada@example.com')).toBe(
    'otpauth://totp/Countersign:ada%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Countersign',
  );
});

import { generateKeyPairSync, type KeyObject } from 'node:crypto';

import { expect, test } from 'vitest';

import type { Issuer } from '#contracts/control.ts';

import { AdminError } from '../../../services/admin/errors.ts';
import { checkKeys } from '../../../services/admin/issuer-keys.ts';

const jwk = ({ publicKey }: { publicKey: KeyObject }) =>
  publicKey.export({ format: 'jwk' }) as Record<string, unknown>;
const rsa = (bits: number) => jwk(generateKeyPairSync('rsa', { modulusLength: bits }));
const ec = (curve: string) => jwk(generateKeyPairSync('ec', { namedCurve: curve }));
const ed25519 = jwk(generateKeyPairSync('ed25519'));
const point = (hex: string) => ({ ...ed25519, x: Buffer.from(hex, 'hex').toString('base64url') });
const strong = rsa(2_048);

const SHARED = { kty: 'oct', k: Buffer.alloc(32).toString('base64url') };
const CASES: readonly (readonly [name: string, keys: Record<string, unknown>[], at: string])[] = [
  ['RSA of 2048 bits', [strong], ''],
  ['all curves', [ec('P-256'), ec('P-384'), ec('P-521'), ed25519], ''],
  [
    'a key with its use and algorithm',
    [{ ...strong, use: 'sig', alg: 'PS256', key_ops: ['verify'] }],
    '',
  ],
  ['RSA of 1024 bits', [rsa(1_024)], '/jwks/keys/0'],
  ['another curve', [ed25519, ec('secp256k1')], '/jwks/keys/1'],
  ['Ed448', [jwk(generateKeyPairSync('ed448'))], '/jwks/keys/0'],
  ['a key for key agreement', [jwk(generateKeyPairSync('x25519'))], '/jwks/keys/0'],
  ['a shared secret', [SHARED], '/jwks/keys/0'],
  ['a private member', [{ ...ed25519, d: 'AAAA' }], '/jwks/keys/0'],
  ['a key for encryption', [{ ...strong, use: 'enc' }], '/jwks/keys/0'],
  ['a key for encryption beside one for signatures', [{ ...rsa(1_024), use: 'enc' }, strong], ''],
  ['a private key for encryption', [strong, { ...strong, use: 'enc', d: 'A' }], '/jwks/keys/1'],
  ['a key that may not verify', [{ ...strong, key_ops: ['sign'] }], '/jwks/keys/0'],
  ['a key with a symmetric algorithm', [{ ...strong, alg: 'HS256' }], '/jwks/keys/0'],
  [
    'a point off its curve',
    [{ ...ec('P-256'), y: Buffer.alloc(32, 1).toString('base64url') }],
    '/jwks/keys/0',
  ],
  ['no key at all', [{}], '/jwks/keys/0'],
  [
    'two keys of one name',
    [
      { ...ed25519, kid: 'a' },
      { ...strong, kid: 'a' },
    ],
    '/jwks/keys/1',
  ],
  ['the neutral element', [point(`01${'00'.repeat(31)}`)], '/jwks/keys/0'],
  ['the neutral element with the sign bit', [point(`01${'00'.repeat(30)}80`)], '/jwks/keys/0'],
  ['a point of order two', [point(`ec${'ff'.repeat(30)}7f`)], '/jwks/keys/0'],
  ['a point of order four', [point('00'.repeat(32))], '/jwks/keys/0'],
  [
    'a point of order eight',
    [point('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')],
    '/jwks/keys/0',
  ],
  [
    'another one of order eight',
    [point('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa')],
    '/jwks/keys/0',
  ],
  ['a coordinate beyond the field', [point(`ee${'ff'.repeat(30)}7f`)], '/jwks/keys/0'],
];
test.each(CASES)('%s', (_, keys, at) => {
  expect(placeOfFault({ issuer: 'i', audiences: ['a'], jwks: { keys } })).toBe(at);
});

const FOR_X509 = { ...ec('P-256'), use: 'x509-svid', x5c: ['MIIB'] };
const FOR_JWT = { ...ec('P-384'), kid: 'a', use: 'jwt-svid' };
test.each<[name: string, keys: Record<string, unknown>[], at: string]>([
  ['as SPIRE shows it', [FOR_X509, FOR_JWT], ''],
  ['without a key for JWT-SVIDs', [FOR_X509, ec('P-384')], '/jwks/keys/0'],
  ['with a weak key for JWT-SVIDs', [FOR_X509, { ...rsa(1_024), use: 'jwt-svid' }], '/jwks/keys/1'],
])('a trust bundle %s', (_, keys, at) => {
  expect(
    placeOfFault({ kind: 'jwt-svid', issuer: 'spiffe://a', audiences: ['a'], jwks: { keys } }),
  ).toBe(at);
});

/** Where the fault is, '' = there is none. */
function placeOfFault(issuer: Issuer): string {
  try {
    checkKeys(issuer);
    return '';
  } catch (error) {
    if (!(error instanceof AdminError)) throw error;
    return error.path;
  }
}

/** Tokens signed by every algorithm, verified by both evaluators: with the right key, with another, after a change. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

import { expect, test } from 'vitest';

import { inBoth } from '#test/support/rego.ts';

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const curve = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
const PSS = { padding: 6, saltLength: -1 };
const RAW = { dsaEncoding: 'ieee-p1363' } as const;

interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}
type Algorithm = readonly [alg: string, digest: string | undefined, keys: Keys, options: object];

const ALGORITHMS: readonly Algorithm[] = [
  ['RS256', 'sha256', rsa, {}],
  ['RS384', 'sha384', rsa, {}],
  ['RS512', 'sha512', rsa, {}],
  ['PS256', 'sha256', rsa, PSS],
  ['PS384', 'sha384', rsa, PSS],
  ['PS512', 'sha512', rsa, PSS],
  ['ES256', 'sha256', curve('P-256'), RAW],
  ['ES384', 'sha384', curve('P-384'), RAW],
  ['ES512', 'sha512', curve('P-521'), RAW],
  ['EdDSA', undefined, generateKeyPairSync('ed25519'), {}],
];

test('a token is verified as in the Go evaluator', async () => {
  const list = ALGORITHMS.flatMap(([alg, digest, { publicKey, privateKey }, options]) => {
    const words = `${encode({ alg })}.${encode({ sub: 'ann' })}`;
    const signature = sign(digest, Buffer.from(words), { key: privateKey, ...options });
    const token = `${words}.${signature.toString('base64url')}`;
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const jwks = JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] });
    const verify = (one: string, key: string) =>
      `io.jwt.verify_${alg.toLowerCase()}(${JSON.stringify(one)}, ${JSON.stringify(key)})`;
    const changed = token.replace(encode({ sub: 'ann' }), encode({ sub: 'eve' }));
    return [verify(token, pem), verify(token, jwks), verify(changed, pem)];
  });
  const { interpreted, compiled } = await inBoth(list, { admitted: true });
  const expected = ALGORITHMS.flatMap(() => [{ value: true }, { value: true }, { value: false }]);
  expect([interpreted, compiled]).toEqual([expected, expected]);
});

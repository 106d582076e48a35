/** Which keys an issuer of identities may have: public, for signatures, and strong. */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

import { IDENTITY_ALGORITHMS, type Issuer } from '#contracts/control.ts';

import { AdminError } from './errors.ts';

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const RSA_BITS_MIN = 2_048;
const RSA_BITS_MAX = 16_384;
const CURVES: ReadonlySet<unknown> = new Set(['P-256', 'P-384', 'P-521']);

/**
 * y coordinates of points of small order on edwards25519, little-endian, sign bit cleared: under such a "key" one
 * signature holds for many messages (libsodium, ge25519_has_small_order). Coordinates of p and more are not canonical.
 */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`,
]);
const FIELD_PRIME = (1n << 255n) - 19n;

/** @throws AdminError issuer.keys, issuer.algorithm, each with the place of the fault */
export function checkKeys({ jwks, algorithms = [], kind }: Issuer): void {
  const use = kind === 'jwt-svid' ? 'jwt-svid' : 'sig';
  for (const [at, algorithm] of algorithms.entries()) {
    if (!IDENTITY_ALGORITHMS.includes(algorithm)) {
      throw new AdminError('issuer.algorithm', '', { path: `/algorithms/${at}` });
    }
  }
  const refuse = (at: number, fault: string): never => {
    const path = `/jwks/keys/${at}`;
    throw new AdminError('issuer.keys', `This key cannot be accepted: ${fault}.`, { path });
  };
  const kids = new Set<unknown>();
  const keys = [...(jwks?.keys ?? []).entries()];
  for (const [at, key] of keys) {
    const secret = secretIn(key);
    if (secret !== undefined) refuse(at, secret);
    if (!isFor(use, key)) continue;
    const fault = faultOf(key) ?? (kids.has(key['kid']) ? 'two keys have the same kid' : undefined);
    if (fault !== undefined) refuse(at, fault);
    kids.add(key['kid'] ?? Symbol('a key without kid'));
  }
  if (keys.length > 0 && kids.size === 0) refuse(0, `neither it nor another one is for "${use}"`);
}

type Key = Readonly<Record<string, unknown>>;
type Use = 'sig' | 'jwt-svid';

/**
 * Sets as providers publish them have keys for other purposes beside these: for encryption (Keycloak), for
 * X.509-SVIDs (every SPIFFE bundle). Workers pass them over, as RFC 7517, section 5, says.
 */
const isFor = (use: Use, key: Key): boolean =>
  key['use'] === use || (use === 'sig' && key['use'] === undefined);

function secretIn(key: Key): string | undefined {
  const secret = PRIVATE_MEMBERS.find((member) => Object.hasOwn(key, member));
  if (key['kty'] === 'oct') return 'it is a shared secret';
  return secret === undefined ? undefined : `its private member "${secret}" must never be sent`;
}

function faultOf(key: Key): string | undefined {
  const operations = key['key_ops'];
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return 'it is not for verifying';
  }
  const algorithm = key['alg'];
  if (algorithm !== undefined && !IDENTITY_ALGORITHMS.some((accepted) => accepted === algorithm)) {
    return 'its algorithm is not accepted';
  }
  return strengthFault(key);
}

function strengthFault(key: Key): string | undefined {
  let imported: KeyObject;
  try {
    // The members are checked by the import.
    imported = createPublicKey({ key: key as JsonWebKey, format: 'jwk' });
  } catch {
    return 'it is not a public JSON Web Key';
  }
  if (key['kty'] === 'RSA') {
    const bits = imported.asymmetricKeyDetails?.modulusLength ?? 0;
    return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX
      ? undefined
      : `it has ${bits} bits, not ${RSA_BITS_MIN} to ${RSA_BITS_MAX}`;
  }
  if (key['kty'] === 'EC') return CURVES.has(key['crv']) ? undefined : 'its curve is not accepted';
  if (key['kty'] !== 'OKP' || key['crv'] !== 'Ed25519') return 'its kind is not accepted';
  return isWeakPoint(String(key['x'])) ? 'it is a point of small order' : undefined;
}

function isWeakPoint(x: string): boolean {
  const bytes = Buffer.from(x, 'base64url');
  bytes[31] = (bytes[31] ?? 0) & 0x7f;
  if (SMALL_ORDER.has(bytes.toString('hex'))) return true;
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`) >= FIELD_PRIME;
}

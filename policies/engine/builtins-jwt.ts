/** Builtins over JSON Web Tokens: taken apart, and verified with a key that stands in the policy or its data. */
import {
  createHmac,
  createPublicKey,
  type KeyObject,
  timingSafeEqual,
  verify,
  X509Certificate,
} from 'node:crypto';

import { base64Url, parsed } from './builtins-data.ts';
import type { Builtin } from './builtins.ts';
import { NoValue } from './no-value.ts';
import { text } from './operands.ts';
import { type Rego, RegoObject } from './values.ts';

const hmac =
  (digest: string): Builtin =>
  ([token, secret]) => {
    const { signed, signature } = parts(text(token));
    const expected = createHmac(digest, text(secret)).update(signed).digest();
    return expected.length === signature.length && timingSafeEqual(expected, signature);
  };

const RSA = ['rsa', 'rsa-pss'];
const signed =
  (digest: string | undefined, kinds: readonly string[], options: object = {}): Builtin =>
  ([token, key]) => {
    const { signed: words, signature } = parts(text(token));
    return keysOf(text(key)).some(
      (one) =>
        kinds.includes(one.asymmetricKeyType ?? '') &&
        verify(digest, Buffer.from(words), { key: one, ...options }, signature),
    );
  };

const PSS = { padding: 6, saltLength: -2 };
const RAW = { dsaEncoding: 'ieee-p1363' };

export const JWT_BUILTINS = {
  'io.jwt.decode': ([token]) => decode(text(token)),
  'io.jwt.verify_eddsa': signed(undefined, ['ed25519']),
  'io.jwt.verify_es256': signed('sha256', ['ec'], RAW),
  'io.jwt.verify_es384': signed('sha384', ['ec'], RAW),
  'io.jwt.verify_es512': signed('sha512', ['ec'], RAW),
  'io.jwt.verify_hs256': hmac('sha256'),
  'io.jwt.verify_hs384': hmac('sha384'),
  'io.jwt.verify_hs512': hmac('sha512'),
  'io.jwt.verify_ps256': signed('sha256', RSA, PSS),
  'io.jwt.verify_ps384': signed('sha384', RSA, PSS),
  'io.jwt.verify_ps512': signed('sha512', RSA, PSS),
  'io.jwt.verify_rs256': signed('sha256', RSA),
  'io.jwt.verify_rs384': signed('sha384', RSA),
  'io.jwt.verify_rs512': signed('sha512', RSA),
} as const satisfies Record<string, Builtin>;

interface Token {
  readonly header: RegoObject;
  readonly payload: string;
  readonly signed: string;
  readonly signature: Buffer;
}

function parts(token: string): Token {
  const pieces = token.split('.');
  const [first = '', second = '', third = ''] = pieces;
  if (pieces.length !== 3) throw new NoValue('a token has three parts');
  const header = objectOf(first);
  if (header.get('enc') !== undefined) throw new NoValue('the token is encrypted');
  return {
    header,
    payload: base64Url(second).toString('utf8'),
    signed: `${first}.${second}`,
    signature: base64Url(third),
  };
}

/** Header, payload and signature; of a token that holds another one (`cty`), those of the innermost. */
function decode(token: string): Rego[] {
  const { header, payload, signature } = parts(token);
  if (header.get('cty') === 'JWT') return decode(payload.replace(/^["']+|["']+$/g, ''));
  return [header, jsonObject(payload), signature.toString('hex')];
}

const objectOf = (part: string): RegoObject => jsonObject(base64Url(part).toString('utf8'));

function jsonObject(words: string): RegoObject {
  const value = parsed(words);
  if (!(value instanceof RegoObject)) throw new NoValue('not a JSON object');
  return value;
}

/** Keys of a PEM certificate or public key, of a JWK or of a set of them. */
function keysOf(material: string): KeyObject[] {
  if (/-----BEGIN[^]*-----END [A-Z ]+-----\n?[^\n]/.test(material))
    throw new NoValue('more than one PEM block');
  try {
    if (material.includes('-----BEGIN CERTIFICATE-----'))
      return [new X509Certificate(material).publicKey];
    if (material.includes('-----BEGIN')) return [createPublicKey(material)];
    const set = JSON.parse(material) as { keys?: readonly JsonWebKey[] };
    const keys = set.keys ?? [set as JsonWebKey];
    return keys.map((key) => createPublicKey({ key, format: 'jwk' }));
  } catch {
    throw new NoValue('not a key');
  }
}

type JsonWebKey = Record<string, string>;

/** A receipt as text, and whether what it says was signed (docs/receipts.md of Countersign). */
import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto';

import { canonical } from './canonical.ts';
import { isObject } from './caveats.ts';

/** What a receipt says of a decision. */
export interface Statement {
  /** `sha256:` and hex digest of the canonical arguments. */
  readonly args_hash: string;
  /** Milliseconds UTC: when it was decided. */
  readonly at: number;
  readonly call: string;
  readonly decision_id: string;
  readonly definition_hash: string;
  /** Milliseconds UTC after which it counts no more. */
  readonly exp: number;
  /** The worker's public key, base64url: the `kid` of the key set. */
  readonly key: string;
  readonly nonce: string;
  readonly policy: string;
  readonly tenant: string;
  readonly tool: string;
  readonly upstream: string;
  readonly v: 1;
  readonly verdict: 'allow' | 'block' | 'escalate';
  readonly worker: string;
}

/** A receipt that was read and not verified. */
export interface Unverified {
  readonly statement: Statement;
  /** What the key must have signed. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

const CHARS_MAX = 4_096;
const SIGNATURE_BYTES = 64;
const HASH_BYTES = 32;
const HEAD_BYTES = 4;

const HASH = /^sha256:[0-9a-f]{64}$/;
const HASH_OR_NONE = /^(sha256:[0-9a-f]{64})?$/;
const ANY = /^/;
const TEXTS: Readonly<Record<string, RegExp>> = {
  args_hash: HASH,
  call: HASH,
  decision_id: ANY,
  definition_hash: HASH_OR_NONE,
  key: /^[A-Za-z0-9_-]{43}$/,
  nonce: /^[0-9a-f]{32}$/,
  policy: HASH_OR_NONE,
  tenant: ANY,
  tool: ANY,
  upstream: ANY,
  verdict: /^(allow|block|escalate)$/,
  worker: ANY,
};
const MEMBERS = Object.keys(TEXTS).length + ['at', 'exp', 'v'].length;

const digest = (...parts: readonly (string | Uint8Array)[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** `sha256:` and the hex digest of a text. */
export const sha256 = (text: string): string => `sha256:${digest(text).toString('hex')}`;

/** Reads a receipt; undefined for a text that is none. Untrusted input. */
export function readReceipt(text: string): Unverified | undefined {
  if (text.length > CHARS_MAX) return undefined;
  const [prefix, first = '', second = '', ...rest] = text.split('.');
  if (prefix !== 'csr1' || rest.length > 0) return undefined;
  const said = base64url(first);
  const proof = base64url(second);
  if (said === undefined || proof === undefined) return undefined;
  const statement = statementIn(said);
  if (statement === undefined || callOf(statement) !== statement.call) return undefined;
  const signed = signedIn(proof, digest(Buffer.of(0), said));
  if (signed === undefined) return undefined;
  const signature = proof.subarray(HEAD_BYTES, HEAD_BYTES + SIGNATURE_BYTES);
  return { statement, signed, signature };
}

/** Whether a key of the set signed it. */
export const isSignedBy = ({ signed, signature }: Unverified, key: KeyObject): boolean =>
  verify(null, signed, key, signature);

/** The key in a JSON Web Key, undefined for what is no Ed25519 key. */
export function publicKey(
  jwk: unknown,
): { readonly id: string; readonly key: KeyObject } | undefined {
  if (!isObject(jwk)) return undefined;
  const { kty, crv, kid, x } = jwk;
  if (kty !== 'OKP' || crv !== 'Ed25519' || typeof x !== 'string' || kid !== x) return undefined;
  if (base64url(x)?.length !== HASH_BYTES) return undefined;
  return { id: x, key: createPublicKey({ key: { kty, crv, x }, format: 'jwk' }) };
}

function statementIn(bytes: Buffer): Statement | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    return isStatement(value) && canonical(value) === text ? value : undefined;
  } catch {
    return undefined;
  }
}

function isStatement(value: unknown): value is Statement {
  if (!isObject(value) || Object.keys(value).length !== MEMBERS) return false;
  const { at, exp, v } = value;
  if (!Number.isSafeInteger(at) || !Number.isSafeInteger(exp) || v !== 1) return false;
  return Object.entries(TEXTS).every(([name, form]) => {
    const text = value[name];
    return typeof text === 'string' && form.test(text);
  });
}

/** The commitment to the call that a statement describes. */
function callOf(statement: Statement): string {
  const { args_hash, definition_hash, nonce, tenant, tool, upstream } = statement;
  const call = sha256(canonical({ args_hash, definition_hash, tenant, tool, upstream, v: 1 }));
  return sha256(`${nonce}\ncall\n${call}`);
}

/** The text whose signature a proof carries (RFC 9162, section 2.1.3.2). */
function signedIn(proof: Buffer, leaf: Buffer): Uint8Array | undefined {
  const from = HEAD_BYTES + SIGNATURE_BYTES;
  if (proof.length < from || (proof.length - from) % HASH_BYTES !== 0) return undefined;
  let index = proof.readUInt16BE(0);
  const size = proof.readUInt16BE(2);
  let last = size - 1;
  if (index > last) return undefined;
  let root = leaf;
  for (let at = from; at < proof.length; at += HASH_BYTES) {
    const sibling = proof.subarray(at, at + HASH_BYTES);
    if (last === 0) return undefined;
    if (index % 2 === 1 || index === last) {
      root = digest(Buffer.of(1), sibling, root);
      while (index % 2 === 0 && index !== 0) {
        index >>= 1;
        last >>= 1;
      }
    } else root = digest(Buffer.of(1), root, sibling);
    index >>= 1;
    last >>= 1;
  }
  return last === 0
    ? Buffer.from(`countersign-receipt-1\n${size}\n${root.toString('hex')}\n`)
    : undefined;
}

/** Unpadded base64url in its one form. */
function base64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return text !== '' && bytes.toString('base64url') === text ? bytes : undefined;
}

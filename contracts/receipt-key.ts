/**
 * The public keys of receipts. Each worker makes a key of its own when it starts and keeps the private half in memory
 * only; the public half stands in bucket `control`, and leaves the house as a JWKS (RFC 7517).
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { checkMac, macHeader, type MacKeys } from './mac.ts';

/** Where tool servers get the keys: at the ingress and at admin. */
export const RECEIPT_KEYS_PATH = '/.well-known/countersign/jwks.json';

/** What stands under CONTROL_KEYS.signer(key). */
export const ReceiptKey = Type.Object(
  {
    worker: Type.String(),
    /** Milliseconds UTC after which nothing is signed with it and it is listed no more. */
    until: Type.Integer(),
    /** By the writer `decision-worker`: readers that hold its MAC key check it. */
    mac: Type.String(),
  },
  { additionalProperties: false },
);
export type ReceiptKey = Static<typeof ReceiptKey>;

/** A public key as JSON Web Key. Its id is the key itself. */
export const ReceiptJwk = Type.Object({
  kty: Type.Literal('OKP'),
  crv: Type.Literal('Ed25519'),
  alg: Type.Literal('EdDSA'),
  use: Type.Literal('sig'),
  kid: Type.String(),
  x: Type.String(),
  exp: Type.Integer({ description: 'Unix seconds' }),
});
export type ReceiptJwk = Static<typeof ReceiptJwk>;

export const ReceiptJwks = Type.Object({ keys: Type.Array(ReceiptJwk) });

const messageOf = (key: string, { worker, until }: Pick<ReceiptKey, 'worker' | 'until'>) => ({
  subject: `$KV.control.signer.${key}`,
  body: `${worker}\n${until}`,
});

/** The entry of a key, with its MAC. */
export const receiptKey = (
  key: string,
  entry: Pick<ReceiptKey, 'worker' | 'until'>,
  macKey: Uint8Array,
): ReceiptKey => ({ ...entry, mac: macHeader('decision-worker', macKey, messageOf(key, entry)) });

const shape = Compile(ReceiptKey);
const KEY = /^[A-Za-z0-9_-]{43}$/;

/**
 * The keys that are in use, the longest-lived first.
 * @param entries key and value as they stand in the bucket
 * @param macKeys to check the writer by; without it everything in the bucket is believed
 */
export function receiptJwks(
  entries: readonly (readonly [key: string, value: unknown])[],
  now: number,
  macKeys?: MacKeys,
): Static<typeof ReceiptJwks> {
  const keys: ReceiptJwk[] = [];
  for (const [x, value] of entries) {
    if (!KEY.test(x) || !shape.Check(value) || value.until < now) continue;
    const by =
      macKeys === undefined || checkMac(macKeys, { ...messageOf(x, value), header: value.mac });
    if (by !== true && 'fault' in by) continue;
    const exp = Math.floor(value.until / 1_000);
    keys.push({ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig', kid: x, x, exp });
  }
  return { keys: keys.sort((a, b) => b.exp - a.exp || (a.kid < b.kid ? -1 : 1)) };
}

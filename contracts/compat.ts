/**
 * IntentGate's tokens and its route, where a tenant switched them on: the tokens of a key that was imported, and
 * POST /v1/mcp, which takes a capability in the place of an identity. Both are off unless put.
 */
import { createCipheriv, createDecipheriv, hash, hkdfSync } from 'node:crypto';

import { Type, type Static } from 'typebox';

const closed = { additionalProperties: false } as const;

/** IntentGate takes keys from 16 bytes on. */
export const IMPORTED_KEY_BYTES_MIN = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const common = {
  token_tenant: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 256,
      description:
        'The tenant that tokens of the imported key name. Default: the name of this tenant.',
    }),
  ),
  route: Type.Optional(
    Type.Boolean({
      description:
        'Answer POST /v1/mcp, where a capability is the identity too: whoever holds one is its agent. Agents with an issuer are not among them.',
    }),
  ),
};

/** What an operator puts. */
export const CompatRequest = Type.Object(
  {
    key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1_024,
        description: 'The key that signs tokens elsewhere, as base64 of at least 16 bytes.',
      }),
    ),
    ...common,
  },
  closed,
);
export type CompatRequest = Static<typeof CompatRequest>;

/** What stands in the state, and in the chain: the key only sealed. */
export const Compat = Type.Object(
  {
    /** Names the key: half of its SHA-256. */
    key_id: Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$' })),
    sealed_key: Type.Optional(Type.String({ maxLength: 4_096 })),
    ...common,
  },
  closed,
);
export type Compat = Static<typeof Compat>;

/** What an operator sees of it. */
export const CompatShown = Type.Omit(Compat, ['sealed_key']);

/** The bytes of a key in the base64 of either alphabet, padded or not; undefined for what is none or too short. */
export function importedKey(text: string): Uint8Array | undefined {
  const plain = text.trim().replaceAll('-', '+').replaceAll('_', '/').replace(/=+$/, '');
  const bytes = Buffer.from(plain, 'base64');
  const whole = bytes.toString('base64').replace(/=+$/, '') === plain;
  return whole && bytes.length >= IMPORTED_KEY_BYTES_MIN ? bytes : undefined;
}

export const keyIdOf = (key: Uint8Array): string => hash('sha256', key, 'hex').slice(0, 32);

/** A key for the eyes of those who hold the master key of capabilities: nonce, ciphertext and tag in base64url. */
export function sealKey(
  master: Uint8Array,
  tenant: string,
  { key, nonce }: { readonly key: Uint8Array; readonly nonce: Uint8Array },
): string {
  if (nonce.length !== NONCE_BYTES) throw new RangeError('a sealed key needs 12 random bytes');
  const cipher = createCipheriv('aes-256-gcm', sealingKey(master, tenant), nonce);
  const text = Buffer.concat([cipher.update(key), cipher.final()]);
  return Buffer.concat([nonce, text, cipher.getAuthTag()]).toString('base64url');
}

/** The key in a seal; undefined when none of the master keys opens it. */
export function openKey(
  masters: readonly Uint8Array[],
  tenant: string,
  sealed: string,
): Uint8Array | undefined {
  const bytes = Buffer.from(sealed, 'base64url');
  if (bytes.length < NONCE_BYTES + TAG_BYTES + IMPORTED_KEY_BYTES_MIN) return undefined;
  const [text, tag] = [bytes.subarray(NONCE_BYTES, -TAG_BYTES), bytes.subarray(-TAG_BYTES)];
  for (const master of masters) {
    const nonce = bytes.subarray(0, NONCE_BYTES);
    const decipher = createDecipheriv('aes-256-gcm', sealingKey(master, tenant), nonce);
    decipher.setAuthTag(tag);
    try {
      return Buffer.concat([decipher.update(text), decipher.final()]);
    } catch {
      // Sealed under another key.
    }
  }
  return undefined;
}

const sealingKey = (master: Uint8Array, tenant: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', master, '', `countersign imported key v1 ${tenant}`, 32));

/**
 * XAES-256-GCM (https://c2sp.org/XAES-256-GCM): AES-256-GCM whose nonce is long enough to be random for every message there
 * will ever be. Plain AES-GCM with random nonces may seal 2^32 messages under a key: a busy chain has that in a month.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';

export const XAES_KEY_BYTES = 32;
export const XAES_NONCE_BYTES = 24;
export const XAES_TAG_BYTES = 16;

export interface Xaes {
  /** Ciphertext, then tag. @param nonce 24 bytes, never twice for one key */
  readonly seal: (nonce: Uint8Array, plain: Uint8Array, aad: Uint8Array) => readonly Buffer[];
  /** @throws where key, nonce, aad or any bit is not what it was sealed with */
  readonly open: (nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array) => Buffer;
}

const BLOCK_BYTES = 16;
const HALF_NONCE_BYTES = 12;

/** The key of the last first half of a nonce is kept: messages whose nonces share it cost less. @param key 32 bytes */
export function xaes(key: Uint8Array): Xaes {
  // One block at a time and no state between them, so one cipher serves all messages.
  const ecb = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  const k1 = doubled(ecb.update(Buffer.alloc(BLOCK_BYTES)));
  const derived = (half: Uint8Array): KeyObject => {
    const blocks = Buffer.alloc(2 * BLOCK_BYTES);
    for (const counter of [1, 2]) {
      const block = blocks.subarray((counter - 1) * BLOCK_BYTES, counter * BLOCK_BYTES);
      block[1] = counter;
      block[2] = 0x58; // 'X'
      block.set(half, BLOCK_BYTES - HALF_NONCE_BYTES);
      for (let at = 0; at < BLOCK_BYTES; at++) block[at] = (block[at] ?? 0) ^ (k1[at] ?? 0);
    }
    // Given as bytes, each use would cost three times as much.
    return createSecretKey(ecb.update(blocks));
  };
  let last = {
    half: Buffer.alloc(HALF_NONCE_BYTES),
    subkey: derived(Buffer.alloc(HALF_NONCE_BYTES)),
  };
  const subkeyOf = (nonce: Uint8Array): KeyObject => {
    const half = nonce.subarray(0, HALF_NONCE_BYTES);
    if (!last.half.equals(half)) last = { half: Buffer.from(half), subkey: derived(half) };
    return last.subkey;
  };
  return {
    seal: (nonce, plain, aad) => {
      const iv = nonce.subarray(HALF_NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', subkeyOf(nonce), iv);
      cipher.setAAD(aad);
      const sealed = cipher.update(plain);
      cipher.final();
      return [sealed, cipher.getAuthTag()];
    },
    open: (nonce, sealed, aad) => {
      const iv = nonce.subarray(HALF_NONCE_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', subkeyOf(nonce), iv, {
        authTagLength: XAES_TAG_BYTES,
      });
      const end = Math.max(0, sealed.length - XAES_TAG_BYTES);
      decipher.setAAD(aad);
      decipher.setAuthTag(sealed.subarray(end));
      const text = decipher.update(sealed.subarray(0, end));
      decipher.final();
      return text;
    },
  };
}

/** The CMAC subkey K1 (NIST SP 800-38B section 6.1). */
function doubled(block: Uint8Array): Uint8Array {
  const shifted = block.map((byte, at) => (byte << 1) | ((block[at + 1] ?? 0) >> 7));
  if ((block[0] ?? 0) >= 0x80) shifted[BLOCK_BYTES - 1] = (shifted[BLOCK_BYTES - 1] ?? 0) ^ 0x87;
  return shifted;
}

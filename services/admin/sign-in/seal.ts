/** What the sign-in key is for: secrets of one-time codes rest encrypted, and forms prove that they are of a session. */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';

export interface SignInSeal {
  /** Encrypts a secret; it opens for the same operator only. */
  readonly seal: (operator: string, secret: Uint8Array) => string;
  /** The secret; undefined when it was sealed with another key or for another operator. */
  readonly open: (operator: string, sealed: string) => Uint8Array | undefined;
  /** What each form of a session carries, so that no other site can post it. */
  readonly formToken: (session: string) => string;
  readonly isFormToken: (session: string, given: string) => boolean;
}

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

export function signInSeal(key: Uint8Array): SignInSeal {
  const derived = (purpose: string): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', key, '', `countersign sign-in ${purpose} 1`, KEY_BYTES));
  const codes = derived('codes');
  const forms = derived('forms');
  const formToken = (session: string): string =>
    createHmac('sha256', forms).update(session).digest('base64url');
  return {
    seal: (operator, secret) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, codes, nonce).setAAD(Buffer.from(operator));
      const text = Buffer.concat([cipher.update(secret), cipher.final()]);
      return Buffer.concat([nonce, text, cipher.getAuthTag()]).toString('base64url');
    },
    open: (operator, sealed) => {
      const bytes = Buffer.from(sealed, 'base64url');
      const [nonce, text, tag] = [
        bytes.subarray(0, NONCE_BYTES),
        bytes.subarray(NONCE_BYTES, -TAG_BYTES),
        bytes.subarray(-TAG_BYTES),
      ];
      if (tag.length !== TAG_BYTES || nonce.length !== NONCE_BYTES) return undefined;
      try {
        const decipher = createDecipheriv(CIPHER, codes, nonce).setAAD(Buffer.from(operator));
        decipher.setAuthTag(tag);
        return Buffer.concat([decipher.update(text), decipher.final()]);
      } catch {
        return undefined; // not of this key or operator
      }
    },
    formToken,
    isFormToken: (session, given) => {
      const made = Buffer.from(formToken(session));
      const bytes = Buffer.from(given);
      return bytes.length === made.length && timingSafeEqual(bytes, made);
    },
  };
}

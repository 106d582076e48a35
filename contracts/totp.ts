/**
 * One-time codes by time: RFC 6238 over RFC 4226, with SHA-1, six digits and 30 seconds, which is what every
 * authenticator app takes for granted. Secrets are written in base32 (RFC 4648).
 */
import { createHmac } from 'node:crypto';

const PERIOD_MS = 30_000;
const DIGITS = 6;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const BITS = 5;
const BYTE_BITS = 8;

/** Number of the period that a time (milliseconds UTC) is in. */
export const totpStep = (at: number): number => Math.floor(at / PERIOD_MS);

/** The code of a period. @see https://www.rfc-editor.org/rfc/rfc4226#section-5.3 */
export function totpCode(secret: Uint8Array, step: number, digits = DIGITS): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac('sha1', secret).update(counter).digest();
  const offset = (mac.at(-1) ?? 0) & 0x0f;
  const number = mac.readUInt32BE(offset) & 0x7f_ff_ff_ff;
  return String(number % 10 ** digits).padStart(digits, '0');
}

/** Bytes in base32 without padding. */
export function base32(bytes: Uint8Array): string {
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(BYTE_BITS, '0');
  const groups = bits.match(new RegExp(`.{1,${BITS}}`, 'g')) ?? [];
  return groups.map((group) => ALPHABET[Number.parseInt(group.padEnd(BITS, '0'), 2)]).join('');
}

/** The bytes of base32 as people type it: any case, blanks and padding are nothing; undefined for what is none. */
export function fromBase32(text: string): Uint8Array | undefined {
  const letters = text.toUpperCase().replaceAll(/[\s=-]/g, '');
  if (!/^[A-Z2-7]+$/.test(letters)) return undefined;
  const bits = Array.from(letters)
    .map((letter) => ALPHABET.indexOf(letter).toString(2).padStart(BITS, '0'))
    .join('');
  const bytes = bits.match(/.{8}/g) ?? [];
  return Uint8Array.from(bytes, (byte) => Number.parseInt(byte, 2));
}

/** What an authenticator app reads from a QR code. */
export function totpUri(secret: Uint8Array, account: string): string {
  const label = `Countersign:${encodeURIComponent(account)}`;
  return `otpauth://totp/${label}?secret=${base32(secret)}&issuer=Countersign`;
}

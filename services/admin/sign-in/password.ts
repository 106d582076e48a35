/**
 * Passwords, hashed with scrypt: 32 MiB and about a quarter of a second each, so only a few at once. The form is that
 * of PHC strings: $scrypt$ln=15,r=8,p=3$<salt>$<hash>.
 * @see https://www.rfc-editor.org/rfc/rfc7914
 */
import { randomBytes, scrypt, type ScryptOptions, timingSafeEqual } from 'node:crypto';

export const PASSWORD_CHARS_MIN = 12;

/** Cost as OWASP's cheat sheet on password storage has it for 32 MiB. */
const COST = { ln: 15, r: 8, p: 3 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const FORM = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

/** Threads of the pool that passwords may take from everything else. */
const AT_ONCE = 2;
const WAITING_MAX = 32;

/** Too many passwords are being looked at. */
export class Busy extends Error {}

/** The hash to be kept. @throws Busy */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const bytes = await derive(password, salt, COST);
  const { ln, r, p } = COST;
  return `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(bytes)}`;
}

/** True for the password of a hash. Whoever has none costs the same time as a wrong one. @throws Busy */
export async function isPassword(password: string, kept: string): Promise<boolean> {
  const [, ln, r, p, salt = '', hash = ''] = FORM.exec(kept) ?? [];
  if (hash === '') {
    await derive(password, Buffer.alloc(SALT_BYTES), COST);
    return false;
  }
  const cost = { ln: Number(ln), r: Number(r), p: Number(p) };
  const made = await derive(password, Buffer.from(salt, 'base64'), cost);
  const known = Buffer.from(hash, 'base64');
  return known.length === made.length && timingSafeEqual(known, made);
}

let running = 0;
const waiting: (() => void)[] = [];

async function derive(
  password: string,
  salt: Uint8Array,
  { ln, r, p }: typeof COST,
): Promise<Buffer> {
  if (running >= AT_ONCE) {
    if (waiting.length >= WAITING_MAX) throw new Busy();
    await new Promise<void>((resolve) => waiting.push(resolve)); // takes over a place
  } else running += 1;
  const options = { N: 2 ** ln, r, p, maxmem: 2 * 128 * 2 ** ln * r };
  try {
    // The same characters make the same password, however a keyboard composes them.
    return await scryptOf(password.normalize('NFC'), salt, options);
  } finally {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

const scryptOf = (password: string, salt: Uint8Array, options: ScryptOptions): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_BYTES, options, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });

const unpadded = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');

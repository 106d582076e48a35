/** Builtins over JSON, encodings and hashes. */
import { isUtf8 } from 'node:buffer';
import { createHmac, hash, timingSafeEqual } from 'node:crypto';

import type { Builtin } from './builtins.ts';
import { NoValue, orUndefined } from './no-value.ts';
import { text } from './operands.ts';
import { fromJson, json, type Rego } from './values.ts';

const digest =
  (algorithm: string): Builtin =>
  ([value]) =>
    hash(algorithm, text(value), 'hex');
const hmac =
  (algorithm: string): Builtin =>
  ([value, key]) =>
    createHmac(algorithm, text(key)).update(text(value)).digest('hex');

export const DATA_BUILTINS = {
  'base64.decode': ([value]) => textOfBytes(base64(text(value), STANDARD)),
  'base64.is_valid': ([value]) => holds(() => base64(text(value), STANDARD)),
  'base64url.decode': ([value]) => textOfBytes(base64Url(text(value))),
  'base64url.encode_no_pad': ([value]) => Buffer.from(text(value)).toString('base64url'),
  'crypto.hmac.equal': ([left, right]) => {
    const [a, b] = [Buffer.from(text(left)), Buffer.from(text(right))];
    return a.length === b.length && timingSafeEqual(a, b);
  },
  'crypto.hmac.md5': hmac('md5'),
  'crypto.hmac.sha1': hmac('sha1'),
  'crypto.hmac.sha256': hmac('sha256'),
  'crypto.hmac.sha512': hmac('sha512'),
  'crypto.md5': digest('md5'),
  'crypto.sha1': digest('sha1'),
  'crypto.sha256': digest('sha256'),
  'hex.decode': ([value]) => {
    const digits = text(value);
    if (!/^(?:[0-9a-fA-F]{2})*$/.test(digits)) throw new NoValue('not hexadecimal');
    return textOfBytes(Buffer.from(digits, 'hex'));
  },
  'hex.encode': ([value]) => Buffer.from(text(value)).toString('hex'),
  'json.is_valid': ([value]) => holds(() => parsed(text(value))),
  'json.marshal': ([value]) => json(value ?? null),
  'json.unmarshal': ([value]) => parsed(text(value)),
} as const satisfies Record<string, Builtin>;

const holds = (attempt: () => unknown): boolean => orUndefined(attempt) !== undefined;

/** Deeper text than Go reads. */
const DEPTH_MAX = 10_000;

export function parsed(value: string): Rego {
  try {
    return fromJson(value);
  } catch (fault) {
    if (fault instanceof RangeError) throw new NoValue(`more than ${DEPTH_MAX} levels`);
    throw new NoValue('not JSON');
  }
}

export const STANDARD = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const URL_SAFE = /^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}==|[A-Za-z0-9_-]{3}=)?$/;

/** With all its padding; line breaks within are skipped, as Go does. */
function base64(value: string, alphabet: RegExp): Buffer {
  const digits = value.replace(/[\r\n]/g, '');
  if (!alphabet.test(digits)) throw new NoValue('not base64');
  return Buffer.from(digits, 'base64');
}

/** Padding may be left out. */
export function base64Url(value: string): Buffer {
  if (value.endsWith('=')) return base64(value, URL_SAFE);
  return base64(value + '='.repeat((4 - (value.length % 4)) % 4), URL_SAFE);
}

/** Bytes as text; each that is no UTF-8 is shown as U+FFFD, as Go shows it. */
export function textOfBytes(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let shown = '';
  for (let at = 0; at < bytes.length;) {
    const size = [1, 2, 3, 4].find(
      (length) => at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)),
    );
    shown += size === undefined ? '\ufffd' : bytes.toString('utf8', at, at + size);
    at += size ?? 1;
  }
  return shown;
}

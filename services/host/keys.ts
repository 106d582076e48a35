/** Key files of a process. Secrets have no defaults. */
import type { MacKeys } from '#contracts/mac.ts';

import { ConfigError, readSecret, readSecretJson } from './config.ts';

const KEY_BYTES_MIN = 32;

function keyBytes(text: unknown, what: string): Uint8Array {
  const bytes = typeof text === 'string' ? Buffer.from(text.trim(), 'base64') : Buffer.alloc(0);
  if (bytes.length < KEY_BYTES_MIN)
    throw new ConfigError([`${what}: needs at least ${KEY_BYTES_MIN} bytes of base64`]);
  return new Uint8Array(bytes);
}

const keyList = (value: unknown, what: string) =>
  (Array.isArray(value) ? value : [value]).map((text: unknown) => keyBytes(text, what));

/** MAC keys by writer: a JSON object of base64 keys, or of lists of them, newest first. @throws ConfigError */
export function readMacKeys(path: string): MacKeys {
  const value = readSecretJson(path, 'MAC keys');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ConfigError(['MAC keys: not a JSON object of writer and key']);
  }
  return new Map(
    Object.entries(value).map(([writer, keys]) => [writer, keyList(keys, `MAC key of ${writer}`)]),
  );
}

/** Keys as a JSON list of base64, newest first. @throws ConfigError */
export function readKeyList(path: string, what: string, max: number): Uint8Array[] {
  const keys = keyList(readSecretJson(path, what), what);
  if (keys.length > max) throw new ConfigError([`${what}: at most ${max} keys`]);
  return keys;
}

/** One base64 key. @throws ConfigError */
export const readKey = (path: string, what: string): Uint8Array =>
  keyBytes(readSecret(path, what), what);

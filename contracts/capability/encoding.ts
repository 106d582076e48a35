/**
 * JSON as three languages write it. The signature of a v4 capability covers JSON bytes, and IntentGate's
 * gateway (Go) and its TypeScript and Python SDKs escape the same string differently. We write Go's
 * form and read all three; numbers, blanks and member order are the same in each.
 */
import type { Json } from '#contracts/json.ts';

export const DIALECTS = ['go', 'js', 'python'] as const;
export type Dialect = (typeof DIALECTS)[number];

/** Blanks after separators: none where bytes are signed, Python's default in a whole capability. */
export interface Separators {
  readonly item: string;
  readonly name: string;
}
export const COMPACT: Separators = { item: ',', name: ':' };
export const PYTHON_DEFAULT: Separators = { item: ', ', name: ': ' };

/** A value in one dialect, members in their own order. Numbers must need no exponent. */
export function encodeJson(value: Json, dialect: Dialect, between: Separators = COMPACT): string {
  if (typeof value === 'string') return encodeString(value, dialect);
  if (value === null || typeof value !== 'object') return String(value);
  let text = '';
  if (Array.isArray(value)) {
    for (const item of value) {
      text += (text === '' ? '' : between.item) + encodeJson(item, dialect, between);
    }
    return `[${text}]`;
  }
  for (const name in value) {
    text += (text === '' ? '' : between.item) + encodeString(name, dialect) + between.name;
    text += encodeJson(value[name] ?? null, dialect, between);
  }
  return `{${text}}`;
}

/** Whether text in Go's form would be the same in every dialect: ASCII in which nothing is escaped. */
export function isSameInAll(encoded: string): boolean {
  return /^[\x20-\x5b\x5d-\x7e]*$/.test(encoded);
}

// ASCII that no dialect escapes: anything but " & < > and the backslash.
const PLAIN = /^[\x20\x21\x23-\x25\x27-\x3b\x3d\x3f-\x5b\x5d-\x7e]*$/;

function encodeString(text: string, dialect: Dialect): string {
  if (PLAIN.test(text)) return `"${text}"`;
  const quoted = JSON.stringify(text);
  if (dialect === 'go') return quoted.replace(/[<>&\u2028\u2029]/g, escapeUnit);
  if (dialect === 'python') return quoted.replace(/[\u007f-\uffff]/g, escapeUnit);
  return quoted;
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

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
  if (Array.isArray(value)) {
    return `[${value.map((item) => encodeJson(item, dialect, between)).join(between.item)}]`;
  }
  const members = Object.entries(value).map(
    ([name, member]) =>
      encodeString(name, dialect) + between.name + encodeJson(member, dialect, between),
  );
  return `{${members.join(between.item)}}`;
}

function encodeString(text: string, dialect: Dialect): string {
  const plain = JSON.stringify(text);
  if (dialect === 'go') return plain.replace(/[<>&\u2028\u2029]/g, escapeUnit);
  if (dialect === 'python') return plain.replace(/[\u007f-\uffff]/g, escapeUnit);
  return plain;
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

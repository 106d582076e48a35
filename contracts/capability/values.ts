/** What a value inside a capability may be: the bounds that hold for every claim and caveat. */
import { isToolPattern } from '#contracts/capability/tool-pattern.ts';
import type { Json } from '#contracts/json.ts';

export const LIST_ENTRIES_MAX = 256;
export const STRING_BYTES_MAX = 1024;
/** The last second of the year 9999. */
export const SECONDS_MAX = 253_402_300_799;

function isText(value: Json): value is string {
  return typeof value === 'string' && Buffer.byteLength(value) <= STRING_BYTES_MAX;
}

export function isName(value: Json): value is string {
  return isText(value) && value !== '';
}

function isListOf(value: Json, holds: (entry: Json) => boolean): boolean {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= LIST_ENTRIES_MAX &&
    value.every((entry) => holds(entry))
  );
}

export function isNames(value: Json): boolean {
  return isListOf(value, isName);
}

export function isTools(value: Json): boolean {
  return isListOf(value, (entry) => isName(entry) && isToolPattern(entry));
}

export function isCount(value: Json): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 1;
}

export function isSeconds(value: Json): value is number {
  return isCount(value) && value <= SECONDS_MAX;
}

/** A number that every language writes alike: micro-units at most, never with an exponent. */
export function isDecimal(value: Json): value is number {
  return (
    typeof value === 'number' &&
    Math.abs(value) <= Number.MAX_SAFE_INTEGER &&
    /^-?\d+(?:\.\d{1,6})?$/.test(String(value))
  );
}

export function isAmount(value: Json): boolean {
  return isDecimal(value) && value > 0;
}

export function isScalar(value: Json): boolean {
  return typeof value === 'boolean' || isText(value) || isDecimal(value);
}

export function isScalars(value: Json): boolean {
  return isListOf(value, isText) || isListOf(value, isDecimal);
}

/** RFC 6901, at least one level deep. */
export function isPointer(value: Json): boolean {
  return isName(value) && /^(?:\/(?:[^~/]|~[01])*)+$/.test(value);
}

export function isThumbprint(value: Json): boolean {
  return typeof value === 'string' && /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/.test(value);
}

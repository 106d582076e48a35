/** Reads texts that have to be canonical already, cheaply: what writers of ours store is, and is checked all the same. */
import { canonical, type Json } from './json.ts';

/** The value of a text that is canonical (RFC 8785), undefined for any other text. A third of the cost of `canonical`. */
export function parseCanonical(text: string): Json | undefined {
  try {
    const value = JSON.parse(text) as Json;
    // JSON.stringify writes strings and numbers as RFC 8785 does, but for lone surrogates; the rest is their order.
    const simple = JSON.stringify(value) === text && !text.includes('\\ud') && isOrdered(value);
    return simple || canonical(value) === text ? value : undefined;
  } catch {
    return undefined; // not JSON, or a value without a canonical form
  }
}

/** Whether all names stand in ascending order and all numbers are within I-JSON. */
function isOrdered(value: Json): boolean {
  if (typeof value === 'number') return !Number.isInteger(value) || Number.isSafeInteger(value);
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return value.every(isOrdered);
  let before = '';
  let first = true;
  for (const name of Object.keys(value)) {
    if (!first && name <= before) return false;
    if (!isOrdered(value[name] as Json)) return false;
    before = name;
    first = false;
  }
  return true;
}

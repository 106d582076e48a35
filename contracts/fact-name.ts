/**
 * Names of facts as people write them: the path of a URL. `orders/17` and `people/ann@example.com` are names;
 * a '/' or '%' within a segment is written %2F and %25. The stored key encodes each segment as a call's values are.
 */
import { decodeKey, encodeKey, FACT_KEY_PATTERN } from './control.ts';
import { FACT_KEY_CHARS_MAX } from './facts.ts';

const key = new RegExp(FACT_KEY_PATTERN);

/** The stored key of a named fact, or undefined for a name that no call could reach. Untrusted input. */
export function factKey(name: string): string | undefined {
  const segments = name.split('/').map(decodeSegment);
  if (segments.some((segment) => segment === undefined || segment === '')) return undefined;
  const stored = segments.map((segment) => encodeKey(segment ?? '')).join('/');
  return stored.length <= FACT_KEY_CHARS_MAX && key.test(stored) ? stored : undefined;
}

/** The name of a stored key. */
export function factName(stored: string): string {
  return stored
    .split('/')
    .map((segment) => decodeKey(segment).replaceAll('%', '%25').replaceAll('/', '%2F'))
    .join('/');
}

function decodeSegment(text: string): string | undefined {
  try {
    const segment = decodeURIComponent(text);
    return segment.isWellFormed() ? segment : undefined;
  } catch {
    return undefined;
  }
}

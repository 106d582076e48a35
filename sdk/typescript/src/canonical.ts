/** Canonical JSON (RFC 8785): the one text of a JSON value, whose digest stands in a receipt. */

/** @throws TypeError for what has no canonical form: not JSON, lone surrogates, a number that is not finite */
export function canonical(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return textOf(value);
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object') {
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([name, member]) => `${textOf(name)}:${canonical(member)}`).join(',')}}`;
  }
  throw new TypeError('has no canonical JSON form');
}

const LONE_SURROGATE = /\p{Surrogate}/u;

function textOf(text: string): string {
  if (LONE_SURROGATE.test(text)) throw new TypeError('has a lone surrogate');
  return JSON.stringify(text);
}

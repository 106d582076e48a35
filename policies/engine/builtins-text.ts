/** Builtins over strings: hashes, URL queries, versions, prefixes. */
import { hash } from 'node:crypto';

import type { Builtin } from './builtins.ts';

export const TEXT_BUILTINS = {
  'crypto.sha256': ([value]) => hash('sha256', text(value), 'hex'),
  'semver.compare': ([left, right]) => compareVersions(parseVersion(left), parseVersion(right)),
  'semver.is_valid': ([value]) => isVersion(value),
  'strings.any_prefix_match': ([search, base]) =>
    anyOf(search, base, (one, prefix) => one.startsWith(prefix)),
  'strings.any_suffix_match': ([search, base]) =>
    anyOf(search, base, (one, suffix) => one.endsWith(suffix)),
  'strings.count': ([value, part]) => count(text(value), text(part)),
  'urlquery.decode': ([value]) => unescapeQuery(text(value)),
  'urlquery.decode_object': ([value]) => parseQuery(text(value)),
  'urlquery.encode': ([value]) => escapeQuery(text(value)),
} as const satisfies Record<string, Builtin>;

function text(value: unknown): string {
  if (typeof value !== 'string') throw new Error('operand must be a string');
  return value;
}

/** One string, or an array or set of them: the SDK hands sets over as arrays. */
function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(text) : [text(value)];
}

function anyOf(
  search: unknown,
  base: unknown,
  matches: (one: string, affix: string) => boolean,
): boolean {
  const affixes = texts(base);
  return texts(search).some((one) => affixes.some((affix) => matches(one, affix)));
}

/** Occurrences that do not overlap; an empty part stands before, between and after the characters, as in Go. */
function count(value: string, part: string): number {
  return part === '' ? Array.from(value).length + 1 : value.split(part).length - 1;
}

/** As Go's url.QueryEscape: everything but letters, digits and `-_.~`; a blank becomes '+'. */
function escapeQuery(value: string): string {
  return encodeURIComponent(value)
    .replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}

/** Throws for a bad escape, and for bytes that are not UTF-8: Rego strings are text. */
function unescapeQuery(value: string): string {
  return decodeURIComponent(value.replaceAll('+', '%20'));
}

/** As Go's url.ParseQuery: every value of a name in order; ';' is refused. */
function parseQuery(query: string): Record<string, string[]> {
  // Without a prototype: a parameter may be called like one of its members.
  const values = Object.create(null) as Record<string, string[]>;
  for (const pair of query.split('&')) {
    if (pair.includes(';')) throw new Error('";" separates nothing');
    if (pair !== '') {
      const [name = '', ...rest] = pair.split('=');
      (values[unescapeQuery(name)] ??= []).push(unescapeQuery(rest.join('=')));
    }
  }
  return values;
}

const NUMBER = '(0|[1-9][0-9]*)';
const IDENTIFIER = '(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)';
/** SemVer 2.0.0, with the leading "v" that OPA accepts. */
const VERSION = new RegExp(
  `^v?${NUMBER}\\.${NUMBER}\\.${NUMBER}(?:-(${IDENTIFIER}(?:\\.${IDENTIFIER})*))?` +
    '(?:\\+[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*)?$',
);

interface Version {
  readonly core: readonly bigint[];
  readonly pre: readonly string[];
}

/** OPA keeps each number in 64 bits. */
const INTEGER_MAX = 2n ** 63n - 1n;

function isVersion(value: unknown): boolean {
  if (typeof value !== 'string') return false;
  const match = VERSION.exec(value);
  return match !== null && match.slice(1, 4).every((digits) => BigInt(digits) <= INTEGER_MAX);
}

function parseVersion(value: unknown): Version {
  const match = VERSION.exec(text(value));
  if (match === null || !isVersion(value)) throw new Error('operand is not a semantic version');
  return { core: match.slice(1, 4).map(BigInt), pre: match[4]?.split('.') ?? [] };
}

/** -1, 0 or 1 by SemVer 2.0.0, section 11. */
function compareVersions(left: Version, right: Version): number {
  for (const at of [0, 1, 2]) {
    const order = compare(left.core[at] ?? 0n, right.core[at] ?? 0n);
    if (order !== 0) return order;
  }
  // A release stands above its own pre-releases.
  if (left.pre.length === 0) return right.pre.length === 0 ? 0 : 1;
  if (right.pre.length === 0) return -1;
  for (let at = 0; at < Math.min(left.pre.length, right.pre.length); at++) {
    const order = compareIdentifiers(left.pre[at] ?? '', right.pre[at] ?? '');
    if (order !== 0) return order;
  }
  return compare(left.pre.length, right.pre.length);
}

function compareIdentifiers(left: string, right: string): number {
  const numeric = [left, right].map((one) => /^[0-9]+$/.test(one));
  if (numeric[0] !== numeric[1]) return numeric[0] === true ? -1 : 1;
  if (numeric[0] !== true) return compare(left, right);
  return compare(identifier(left), identifier(right));
}

/** OPA would take all numbers beyond 64 bits as equal; here they refuse. */
function identifier(digits: string): bigint {
  const value = BigInt(digits);
  if (value > INTEGER_MAX) throw new Error('a pre-release number is too large');
  return value;
}

function compare<T extends bigint | number | string>(left: T, right: T): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** Builtins over strings: hashes, URL queries, versions, prefixes. */
import { textOfBytes } from './builtins-data.ts';
import type { Builtin } from './builtins.ts';
import { NoValue } from './no-value.ts';
import { integer, object, text } from './operands.ts';
import { isList, type Rego, RegoObject, RegoSet } from './values.ts';

export const TEXT_BUILTINS = {
  'glob.quote_meta': ([value]) => text(value).replace(/[\\*?[\]{}]/g, '\\$&'),
  'semver.compare': ([left, right]) =>
    BigInt(compareVersions(parseVersion(left), parseVersion(right))),
  'semver.is_valid': ([value]) => isVersion(value),
  'strings.any_prefix_match': ([search, base]) =>
    anyOf(search, base, (one, prefix) => one.startsWith(prefix)),
  'strings.any_suffix_match': ([search, base]) =>
    anyOf(search, base, (one, suffix) => one.endsWith(suffix)),
  'strings.split_n': ([value, separator, count]) =>
    splitN(text(value), text(separator), integer(count)),
  'strings.count': ([value, part]) => BigInt(count(text(value), text(part))),
  'urlquery.decode': ([value]) => unescapeQuery(text(value)),
  'urlquery.decode_object': ([value]) => parseQuery(text(value)),
  'urlquery.encode': ([value]) => escapeQuery(text(value)),
  'urlquery.encode_object': ([value]) => encodeObject(object(value)),
} as const satisfies Record<string, Builtin>;

/** One string, or an array or set of them. */
function texts(value: Rego | undefined): readonly string[] {
  if (value instanceof RegoSet) return value.items.map(text);
  return value !== undefined && isList(value) ? value.map(text) : [text(value)];
}

function anyOf(
  search: Rego | undefined,
  base: Rego | undefined,
  matches: (one: string, affix: string) => boolean,
): boolean {
  const affixes = texts(base);
  return texts(search).some((one) => affixes.some((affix) => matches(one, affix)));
}

/** Occurrences that do not overlap; an empty part stands before, between and after the characters, as in Go. */
function count(value: string, part: string): number {
  return part === '' ? Array.from(value).length + 1 : value.split(part).length - 1;
}

/** The first parts, or with a negative count the last ones. */
function splitN(value: string, separator: string, count: number): string[] {
  const parts = separator === '' ? Array.from(value) : value.split(separator);
  if (count === 0) return [];
  return count > 0 ? parts.slice(0, count) : parts.slice(count);
}

/** As Go's url.QueryEscape: everything but letters, digits and `-_.~`; a blank becomes '+'. */
function escapeQuery(value: string): string {
  return encodeURIComponent(value)
    .replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}

function unescapeQuery(value: string): string {
  if (/%(?![0-9a-fA-F]{2})/.test(value)) throw new NoValue('a broken escape');
  const bytes = value
    .replaceAll('+', ' ')
    .replace(
      /%([0-9a-fA-F]{2})|[^%]+/g,
      (piece, hex?: string) => hex ?? Buffer.from(piece).toString('hex'),
    );
  return textOfBytes(Buffer.from(bytes, 'hex'));
}

/** As Go's url.ParseQuery: every value of a name in order; ';' is refused. */
function parseQuery(query: string): RegoObject {
  const values = new Map<string, string[]>();
  for (const pair of query.split('&')) {
    if (pair.includes(';')) throw new NoValue('";" separates nothing');
    if (pair !== '') {
      const [name = '', ...rest] = pair.split('=');
      const key = unescapeQuery(name);
      values.set(key, [...(values.get(key) ?? []), unescapeQuery(rest.join('='))]);
    }
  }
  return new RegoObject([...values]);
}

/** As Go's url.Values.Encode: names in order. */
function encodeObject(value: RegoObject): string {
  return value.entries
    .flatMap(([name, values]) =>
      texts(values).map((one) => `${escapeQuery(text(name))}=${escapeQuery(one)}`),
    )
    .join('&');
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

function isVersion(value: Rego | undefined): boolean {
  if (typeof value !== 'string') return false;
  const match = VERSION.exec(value);
  return match !== null && match.slice(1, 4).every((digits) => BigInt(digits) <= INTEGER_MAX);
}

function parseVersion(value: Rego | undefined): Version {
  const match = VERSION.exec(text(value));
  if (match === null || !isVersion(value)) throw new NoValue('operand is not a semantic version');
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

/** OPA takes all numbers beyond 64 bits as equal; here they have no order. */
function identifier(digits: string): bigint {
  const value = BigInt(digits);
  if (value > INTEGER_MAX) throw new Error('a pre-release number is too large');
  return value;
}

function compare<T extends bigint | number | string>(left: T, right: T): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

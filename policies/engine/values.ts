/**
 * Rego's values as the host sees them: read out of a module's memory, written back, ordered and printed as the
 * Go evaluator orders and prints them. Numbers keep all their digits, sets stay sets.
 */

/** A number that is not written as a whole one: `1.5`, `1e21`, `1.0`. */
export class Decimal {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Members in Rego's order, none twice. Put in order when somebody looks. */
export class RegoSet {
  readonly #given: readonly Rego[];
  #items: readonly Rego[] | undefined;

  constructor(items: readonly Rego[]) {
    this.#given = items;
  }

  get items(): readonly Rego[] {
    return (this.#items ??= ordered(this.#given, (item) => item));
  }

  has(value: Rego): boolean {
    let [low, high] = [0, this.items.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const order = compare(this.items[middle] ?? null, value);
      if (order === 0) return true;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return false;
  }
}

/** Members in the order of their keys, which may be any value. */
export class RegoObject {
  readonly #given: readonly (readonly [Rego, Rego])[];
  #entries: readonly (readonly [Rego, Rego])[] | undefined;

  constructor(entries: readonly (readonly [Rego, Rego])[]) {
    this.#given = entries;
  }

  get entries(): readonly (readonly [Rego, Rego])[] {
    return (this.#entries ??= ordered(this.#given, ([key]) => key));
  }

  /** The value of a key, undefined without one. */
  get(key: Rego): Rego | undefined {
    return this.#given.find(([one]) => compare(one, key) === 0)?.[1];
  }
}

export type Rego =
  | null
  | boolean
  | string
  | bigint
  | Decimal
  | readonly Rego[]
  | RegoSet
  | RegoObject;

export const isList = (value: Rego): value is readonly Rego[] => Array.isArray(value);
export const isNumber = (value: Rego): value is bigint | Decimal =>
  typeof value === 'bigint' || value instanceof Decimal;

/** A number by its text. */
export const numberOf = (text: string): bigint | Decimal =>
  /^-?\d+$/.test(text) ? BigInt(text) : new Decimal(text);

function ordered<Item>(items: readonly Item[], keyOf: (item: Item) => Rego): Item[] {
  const sorted = items.toSorted((a, b) => compare(keyOf(a), keyOf(b)));
  return sorted.filter((item, at) => {
    const before = sorted[at - 1];
    return at === 0 || before === undefined || compare(keyOf(before), keyOf(item)) !== 0;
  });
}

/** Order of types, as in Go's ast.Compare. */
function rank(value: Rego): number {
  if (value === null) return 0;
  if (typeof value === 'boolean') return 1;
  if (isNumber(value)) return 2;
  if (typeof value === 'string') return 3;
  if (isList(value)) return 4;
  return value instanceof RegoObject ? 5 : 6;
}

/** Below, at or above zero, as Rego orders two values. */
export function compare(left: Rego, right: Rego): number {
  const ranks = rank(left) - rank(right);
  if (ranks !== 0) return ranks;
  if (typeof left === 'string') return compareText(left, right as string);
  if (isNumber(left)) return compareNumbers(left, right as bigint | Decimal);
  if (typeof left === 'boolean') return Number(left) - Number(right);
  if (left === null) return 0;
  if (isList(left)) return compareLists(left, right as readonly Rego[]);
  if (left instanceof RegoSet) return compareLists(left.items, (right as RegoSet).items);
  const [ours, theirs] = [left.entries, (right as RegoObject).entries];
  for (let at = 0; at < Math.min(ours.length, theirs.length); at++) {
    const [a, b] = [ours[at], theirs[at]];
    if (a === undefined || b === undefined) break;
    const order = compare(a[0], b[0]) || compare(a[1], b[1]);
    if (order !== 0) return order;
  }
  return ours.length - theirs.length;
}

function compareLists(left: readonly Rego[], right: readonly Rego[]): number {
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const order = compare(left[at] ?? null, right[at] ?? null);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

/** By bytes of UTF-8, which is by code points: JavaScript's own order puts surrogates below U+E000. */
export function compareText(left: string, right: string): number {
  if (left === right) return 0;
  const shorter = Math.min(left.length, right.length);
  let at = 0;
  while (at < shorter && left.charCodeAt(at) === right.charCodeAt(at)) at++;
  if (at === shorter) return left.length - right.length;
  const [a, b] = [left.charCodeAt(at), right.charCodeAt(at)];
  const high = (unit: number) => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);
  return high(a) - high(b);
}

export function compareNumbers(left: bigint | Decimal, right: bigint | Decimal): number {
  if (typeof left === 'bigint' && typeof right === 'bigint') {
    if (left === right) return 0;
    return left < right ? -1 : 1;
  }
  const [a, b] = [scaled(left), scaled(right)];
  if (a.exponent !== b.exponent && Math.abs(a.exponent - b.exponent) > EXPONENT_MAX) {
    return Number(textOf(left)) - Number(textOf(right));
  }
  const common = Math.min(a.exponent, b.exponent);
  const difference =
    a.digits * 10n ** BigInt(a.exponent - common) - b.digits * 10n ** BigInt(b.exponent - common);
  if (difference === 0n) return 0;
  return difference < 0n ? -1 : 1;
}

/** Beyond it numbers are compared as doubles. */
const EXPONENT_MAX = 1_000;

export interface Scaled {
  readonly digits: bigint;
  readonly exponent: number;
}

/** A number as digits times a power of ten. Throws for text that is no number. */
export function scaled(value: bigint | Decimal): Scaled {
  if (typeof value === 'bigint') return { digits: value, exponent: 0 };
  const match = /^(-?\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(value.text);
  if (match === null) throw new Error('not a number');
  const fraction = match[2] ?? '';
  return {
    digits: BigInt(`${match[1] ?? '0'}${fraction}`),
    exponent: Number(match[3] ?? 0) - fraction.length,
  };
}

export const textOf = (value: bigint | Decimal): string =>
  typeof value === 'bigint' ? String(value) : value.text;

/** As Go's Value.String(): what templates and "%v" show of a value that is not text itself. */
export function printed(value: Rego): string {
  if (typeof value === 'string') return quoted(value);
  if (value === null || typeof value === 'boolean') return String(value);
  if (isNumber(value)) return textOf(value);
  if (isList(value)) return `[${value.map(printed).join(', ')}]`;
  if (value instanceof RegoSet) {
    return value.items.length === 0 ? 'set()' : `{${value.items.map(printed).join(', ')}}`;
  }
  return `{${value.entries.map(([key, one]) => `${printed(key)}: ${printed(one)}`).join(', ')}}`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};
/** What Go's strconv does not call printable: controls, separators but the blank, what is not assigned. */
const UNPRINTABLE = /["\\]|[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu;

/** As Go's strconv.Quote. */
export function quoted(value: string): string {
  const inside = value.replace(UNPRINTABLE, (mark) => {
    const known = ESCAPES[mark];
    if (known !== undefined) return known;
    const code = mark.codePointAt(0) ?? 0;
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`;
    return code > 0xffff
      ? `\\U${code.toString(16).padStart(8, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
  return `"${inside}"`;
}

/** As Go's json.Marshal of the value: members in order, sets as lists, "<", ">" and "&" escaped. */
export function json(value: Rego): string {
  if (typeof value === 'string') return jsonText(value);
  if (value === null || typeof value === 'boolean') return String(value);
  if (isNumber(value)) return textOf(value);
  if (isList(value)) return `[${value.map(json).join(',')}]`;
  if (value instanceof RegoSet) return `[${value.items.map(json).join(',')}]`;
  const members = value.entries.map(
    ([key, one]) => [typeof key === 'string' ? key : printed(key), one] as const,
  );
  const inOrder = members.toSorted(([a], [b]) => compareText(a, b));
  return `{${inOrder.map(([key, one]) => `${jsonText(key)}:${json(one)}`).join(',')}}`;
}

const jsonText = (value: string): string =>
  JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** As Rego writes it, for opa_value_parse: JSON, with sets as `{1, 2}` and any value as a key. */
export function literal(value: Rego): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (value === null || typeof value === 'boolean') return String(value);
  if (isNumber(value)) return textOf(value);
  if (isList(value)) return `[${value.map(literal).join(',')}]`;
  if (value instanceof RegoSet) {
    return value.items.length === 0 ? 'set()' : `{${value.items.map(literal).join(',')}}`;
  }
  return `{${value.entries.map(([key, one]) => `${literal(key)}:${literal(one)}`).join(',')}}`;
}

/** Beyond it Go has no number either. */
const EXPONENT_TEXT = /[eE][+-]?\d{5,}$/;

/** What JSON.parse with all digits kept would give. Throws for text that is not JSON. */
export function fromJson(text: string): Rego {
  return regoOf(JSON.parse(text, keepDigits));
}

/** Node 24 shows a reviver the text of a number. */
const keepDigits = (_: string, value: unknown, context?: { source?: string }): unknown =>
  typeof value === 'number' ? digitsOf(context?.source ?? String(value)) : value;

function digitsOf(text: string): Decimal {
  if (EXPONENT_TEXT.test(text)) throw new SyntaxError('a number beyond all bounds');
  return new Decimal(text);
}

function regoOf(value: unknown): Rego {
  if (value instanceof Decimal) return numberOf(value.text);
  if (Array.isArray(value)) return value.map(regoOf);
  if (typeof value === 'object' && value !== null) {
    return new RegoObject(Object.entries(value).map(([key, one]) => [key, regoOf(one)]));
  }
  return value as null | boolean | string;
}

/** Builtins that make text of values: as Go's fmt.Sprintf and OPA's own functions around it. */
import type { Builtin } from './builtins.ts';
import { NoValue } from './no-value.ts';
import { items, list, object, text } from './operands.ts';
import {
  Decimal,
  isNumber,
  numberOf,
  printed,
  quoted,
  type Rego,
  type RegoObject,
  RegoSet,
  scaled,
  textOf,
} from './values.ts';

export const FORMAT_BUILTINS = {
  concat: ([separator, parts]) => items(parts).map(text).join(text(separator)),
  format_int: ([value, base]) => formatInt(value, base),
  indexof: ([value, search]) => positions(text(value), text(search))[0] ?? -1n,
  indexof_n: ([value, search]) => positions(text(value), text(search)),
  'internal.template_string': ([parts]) => list(parts).map(part).join(''),
  replace: ([value, old, by]) => replaceAll(text(value), replacements([[text(old), text(by)]])),
  sprintf: ([format, operands]) => sprintf(text(format), list(operands)),
  'strings.replace_n': ([patterns, value]) =>
    replaceAll(text(value), replacementsOf(object(patterns))),
  to_number: ([value]) => toNumber(value),
} as const satisfies Record<string, Builtin>;

const shownPlain = (value: Rego): string => (typeof value === 'string' ? value : printed(value));

/** A piece of a template: what is undefined arrives as an empty set, everything else as a set of one. */
function part(value: Rego): string {
  if (!(value instanceof RegoSet)) return shownPlain(value);
  const [only, second] = value.items;
  if (second !== undefined) throw new Error('a template has more than one value');
  return only === undefined ? '<undefined>' : shownPlain(only);
}

/** Where a text stands in another, in characters; overlapping ones too. */
function positions(value: string, search: string): bigint[] {
  if (search === '') throw new NoValue('empty search character');
  const found: bigint[] = [];
  let characters = 0;
  for (let at = 0; at < value.length; at += 1) {
    if (value.startsWith(search, at)) found.push(BigInt(characters));
    const unit = value.charCodeAt(at);
    if (unit < 0xd800 || unit > 0xdbff) characters += 1;
  }
  return found;
}

type Replacement = readonly [old: string, by: string];

interface Replacements {
  /** By first character, in order. */
  readonly byFirst: ReadonlyMap<
    string,
    readonly (readonly [order: number, replacement: Replacement])[]
  >;
  readonly count: number;
  /** Which one is for the empty text, -1 for none. */
  readonly empty: number;
  readonly forEmpty: string;
}

function replacements(patterns: readonly Replacement[]): Replacements {
  const empty = patterns.findIndex(([old]) => old === '');
  const others = [...patterns.entries()].filter(([, [old]]) => old !== '');
  return {
    byFirst: Map.groupBy(others, ([, [old]]) => old.slice(0, 1)),
    count: patterns.length,
    empty,
    forEmpty: patterns[empty]?.[1] ?? '',
  };
}

/** Of an object that stands in the data they are made once. */
const known = new WeakMap<RegoObject, Replacements>();

function replacementsOf(patterns: RegoObject): Replacements {
  const before = known.get(patterns);
  if (before !== undefined) return before;
  const made = replacements(patterns.entries.map(([old, by]) => [text(old), text(by)]));
  known.set(patterns, made);
  return made;
}

/**
 * As Go's strings.NewReplacer: at each place the first pattern in order that stands there, nothing that was put in
 * is read again. An empty pattern stands before, between and after the characters.
 */
function replaceAll(value: string, { byFirst, count, empty, forEmpty }: Replacements): string {
  let result = '';
  let emptyBefore = false;
  for (let at = 0; at <= value.length;) {
    const [order, found] = byFirst
      .get(value.charAt(at))
      ?.find(([, [old]]) => value.startsWith(old, at)) ?? [count, undefined];
    const takesEmpty: boolean = empty >= 0 && !emptyBefore && empty < order;
    emptyBefore = takesEmpty;
    if (takesEmpty) {
      result += forEmpty;
    } else if (found !== undefined) {
      result += found[1];
      at += found[0].length;
    } else {
      const character = at < value.length ? String.fromCodePoint(value.codePointAt(at) ?? 0) : '';
      result += character;
      at += Math.max(character.length, 1);
    }
  }
  return result;
}

const RADIX: Readonly<Record<string, number>> = { '2': 2, '8': 8, '10': 10, '16': 16 };

function formatInt(value: Rego | undefined, base: Rego | undefined): string {
  if (value === undefined || base === undefined || !isNumber(value) || !isNumber(base)) {
    throw new NoValue('operand must be a number');
  }
  const radix = RADIX[textOf(base)];
  if (radix === undefined) throw new NoValue('base must be one of 2, 8, 10, 16');
  return cutToInteger(value).toString(radix);
}

function cutToInteger(value: bigint | Decimal): bigint {
  const { digits, exponent } = scaled(value);
  if (Math.abs(exponent) > 5_000) throw new Error('a number of too many digits');
  return exponent >= 0 ? digits * 10n ** BigInt(exponent) : digits / 10n ** BigInt(-exponent);
}

/** What Go's ParseFloat reads, and JSON too: no hexadecimal, no blanks, nothing too large. */
const NUMBER_TEXT = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;

function toNumber(value: Rego | undefined): Rego {
  if (value === null || value === false) return 0n;
  if (value === true) return 1n;
  if (value !== undefined && isNumber(value)) return value;
  const digits = text(value);
  const fits = NUMBER_TEXT.test(digits) && Number.isFinite(Number(digits));
  if (!fits) throw new NoValue('operand must be a number in text');
  return numberOf(digits.replace(/^\+/, '').replace(/^(-?)\./, '$10.'));
}

/** `%[flags][width][.precision][argument]verb`; widths by argument ("*") are read too. */
const DIRECTIVE = /%([+\-# 0]*)(?:\[(\d+)\])?(\d+|\*)?(?:\.(\d+|\*)?)?(?:\[(\d+)\])?(.|$)/gsu;
/** Go's own limit. */
const WIDTH_MAX = 1_000_000;

interface Directive {
  readonly flags: string;
  readonly width: number | undefined;
  readonly precision: number | undefined;
  readonly verb: string;
}

/** As Go's fmt.Sprintf over what OPA gives it: text, integers, floats; all else printed as Rego. */
function sprintf(format: string, operands: readonly Rego[]): string {
  let next = 0;
  let reordered = false;
  const result = format.replace(DIRECTIVE, (whole: string, ...parts: (string | undefined)[]) => {
    const [flags = '', early, width, precision, late, verb = ''] = parts;
    if (verb === '%') return '%';
    if (verb === '') return '%!(NOVERB)';
    const star = (stated: string | undefined): number | undefined => {
      if (stated !== '*') return stated === undefined ? undefined : Number(stated);
      const operand = operands[next++];
      return typeof operand === 'bigint' ? Number(operand) : undefined;
    };
    if (early !== undefined) [next, reordered] = [Number(early) - 1, true];
    const wide = star(width);
    const exact = whole.includes('.') ? (star(precision) ?? 0) : undefined;
    if (late !== undefined) [next, reordered] = [Number(late) - 1, true];
    if (Math.max(wide ?? 0, exact ?? 0) > WIDTH_MAX) return `%!(BADWIDTH)`;
    const operand = operands[next];
    if (operand === undefined) return reordered ? `%!${verb}(BADINDEX)` : `%!${verb}(MISSING)`;
    next += 1;
    const left = (wide ?? 0) < 0;
    return formatted(operand, {
      flags: left ? `${flags}-` : flags,
      width: wide === undefined ? undefined : Math.abs(wide),
      precision: exact,
      verb,
    });
  });
  if (reordered || next >= operands.length) return result;
  const extra = operands.slice(next).map((one) => `${goType(one)}=${byDefault(one)}`);
  return `${result}%!(EXTRA ${extra.join(', ')})`;
}

/** One too large for a double is shown as it is written. */
const isFloat = (value: Rego): value is Decimal =>
  value instanceof Decimal && Number.isFinite(Number(value.text));

function goType(value: Rego): string {
  if (isFloat(value)) return 'float64';
  if (typeof value !== 'bigint') return 'string';
  return value >= -(2n ** 63n) && value < 2n ** 63n ? 'int64' : '*big.Int';
}

const byDefault = (value: Rego): string => {
  if (isFloat(value)) return float(Number(value.text), 'g', undefined);
  return shownPlain(value);
};

function formatted(value: Rego, directive: Directive): string {
  if (isFloat(value)) return formattedFloat(Number(value.text), directive);
  if (typeof value === 'bigint') return formattedInteger(value, directive);
  return formattedText(shownPlain(value), directive);
}

const wrong = (verb: string, type: string, shown: string) => `%!${verb}(${type}=${shown})`;

function padded(shown: string, { flags, width }: Directive, numeric: boolean): string {
  const missing = (width ?? 0) - Array.from(shown).length;
  if (missing <= 0) return shown;
  if (flags.includes('-')) return shown + ' '.repeat(missing);
  if (!flags.includes('0')) return ' '.repeat(missing) + shown;
  const sign = numeric ? (/^[+\- ]/.exec(shown)?.[0] ?? '') : '';
  return sign + '0'.repeat(missing) + shown.slice(sign.length);
}

function formattedText(value: string, directive: Directive): string {
  const { precision, verb, flags } = directive;
  const shortened =
    precision === undefined ? value : Array.from(value).slice(0, precision).join('');
  switch (verb) {
    case 's':
    case 'v':
      return padded(
        verb === 'v' && flags.includes('#') ? quoted(shortened) : shortened,
        directive,
        false,
      );
    case 'q':
      return padded(quoted(shortened), directive, false);
    case 'x':
    case 'X': {
      const bytes = Buffer.from(value).subarray(0, precision ?? undefined);
      const hex = bytes.toString('hex');
      return padded(verb === 'x' ? hex : hex.toUpperCase(), directive, false);
    }
    default:
      return wrong(verb, 'string', formattedText(value, { ...directive, verb: 'v' }));
  }
}

const INTEGER_RADIX: Readonly<Record<string, number>> = {
  d: 10,
  v: 10,
  b: 2,
  o: 8,
  O: 8,
  x: 16,
  X: 16,
};
const PREFIX: Readonly<Record<string, string>> = { b: '0b', o: '0', x: '0x', X: '0X' };

function formattedInteger(value: bigint, directive: Directive): string {
  const { verb, flags, precision } = directive;
  if (verb === 'c' || verb === 'q' || verb === 'U') return formattedCharacter(value, directive);
  const big = goType(value) !== 'int64';
  const radix = INTEGER_RADIX[big && verb === 's' ? 'd' : verb];
  if (radix === undefined)
    return wrong(
      verb,
      big ? 'big.Int' : 'int64',
      formattedInteger(value, { ...directive, verb: 'v' }),
    );
  let digits = (value < 0n ? -value : value).toString(radix);
  if (verb === 'X') digits = digits.toUpperCase();
  if (precision !== undefined)
    digits = value === 0n && precision === 0 ? '' : digits.padStart(precision, '0');
  if (flags.includes('#') && verb !== 'v') digits = (PREFIX[verb] ?? '') + digits;
  if (verb === 'O') digits = `0o${digits}`;
  return padded(
    signOf(value < 0n, flags) + digits,
    precision === undefined ? directive : without0(directive),
    true,
  );
}

const without0 = (directive: Directive): Directive => ({
  ...directive,
  flags: directive.flags.replaceAll('0', ''),
});

function signOf(negative: boolean, flags: string): string {
  if (negative) return '-';
  if (flags.includes('+')) return '+';
  return flags.includes(' ') ? ' ' : '';
}

function formattedCharacter(value: bigint, directive: Directive): string {
  const valid = value >= 0n && value <= 0x10ffffn && !(value >= 0xd800n && value <= 0xdfffn);
  const code = valid ? Number(value) : 0xfffd;
  if (directive.verb === 'U') {
    return padded(`U+${value.toString(16).toUpperCase().padStart(4, '0')}`, directive, false);
  }
  const character = String.fromCodePoint(code);
  if (directive.verb === 'c') return padded(character, directive, false);
  const inside = quoted(character).slice(1, -1);
  const escaped = { "'": "\\'", '\\"': '"' }[inside] ?? inside;
  return padded(`'${escaped}'`, directive, false);
}

function formattedFloat(value: number, directive: Directive): string {
  const { verb, flags, precision } = directive;
  if (!'vbgGeEfFxX'.includes(verb))
    return wrong(verb, 'float64', formattedFloat(value, { ...directive, verb: 'v' }));
  if ('bxX'.includes(verb)) throw new Error(`%${verb} of a fraction`);
  const lower = verb.toLowerCase();
  const style = lower === 'v' ? 'g' : lower;
  const digits = float(Math.abs(value), style, precision ?? (style === 'g' ? undefined : 6));
  const negative = value < 0 || Object.is(value, -0);
  const cased = verb === 'G' || verb === 'E' ? digits.toUpperCase() : digits;
  return padded(signOf(negative, flags) + cased, directive, true);
}

/** As Go's strconv.FormatFloat; without a precision the fewest digits that mean the same. */
function float(value: number, style: string, precision: number | undefined): string {
  if (style === 'f') return precision === undefined ? String(value) : fixed(value, precision);
  const [mantissa = '', power = '0'] = (
    precision === undefined
      ? value.toExponential()
      : scientific(value, style === 'e' ? precision : Math.max(precision, 1) - 1)
  ).split('e');
  const exponent = Number(power);
  const power10 = `e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  if (style === 'e') return mantissa + power10;
  const short = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa;
  const limit = precision === undefined ? SHORTEST_EXPONENT : Math.max(precision, 1);
  if (exponent < -4 || exponent >= limit) return short + power10;
  const digits = short.replace(/[.-]/g, '');
  const sign = value < 0 ? '-' : '';
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const fraction = digits.slice(exponent + 1);
  return sign + whole + (fraction === '' ? '' : `.${fraction}`);
}

/** A hundred digits are all that a double has, or enough to see that it does not stand halfway. */
const DIGITS_MAX = 100;

/** As toExponential, but half to even. */
function scientific(value: number, places: number): string {
  if (places >= DIGITS_MAX) return value.toExponential(DIGITS_MAX);
  const exact = value.toExponential(DIGITS_MAX);
  const halfway = /^-?\d\.?(\d*)e/.exec(exact)?.[1]?.slice(places).replace(/0+$/, '') === '5';
  const up = value.toExponential(places);
  const even = /[02468]e/.test(up);
  if (!halfway || even) return up;
  // The other neighbour is what JavaScript makes of a value just below.
  return (value * (1 - Number.EPSILON)).toExponential(places);
}

/** Go turns to an exponent from 1e+06 up when it may choose the digits. */
const SHORTEST_EXPONENT = 6;

/** All digits of a double, cut to some places; half to even, where JavaScript takes the larger one. */
function fixed(value: number, places: number): string {
  const { mantissa, exponent } = binary(Math.abs(value));
  const scale = 10n ** BigInt(places);
  const whole =
    exponent >= 0
      ? (mantissa << BigInt(exponent)) * scale
      : halfToEven(mantissa * scale, 1n << BigInt(-exponent));
  const digits = whole.toString().padStart(places + 1, '0');
  const point = digits.length - places;
  const sign = value < 0 ? '-' : '';
  return sign + digits.slice(0, point) + (places === 0 ? '' : `.${digits.slice(point)}`);
}

function halfToEven(value: bigint, unit: bigint): bigint {
  const [quotient, rest] = [value / unit, (value % unit) * 2n];
  const up = rest > unit || (rest === unit && quotient % 2n === 1n);
  return up ? quotient + 1n : quotient;
}

/** A double as mantissa * 2^exponent. */
function binary(value: number): { mantissa: bigint; exponent: number } {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const word = bits.getBigUint64(0);
  const exponent = Number((word >> 52n) & 0x7ffn);
  const fraction = word & 0xfffffffffffffn;
  return exponent === 0
    ? { mantissa: fraction, exponent: -1074 }
    : { mantissa: fraction | (1n << 52n), exponent: exponent - 1075 };
}

/**
 * Arithmetic as the Go evaluator does it: whole numbers exactly, everything else in binary with 64 bits
 * (math/big.Float), shown with the fewest digits that mean the same.
 */
import type { Builtin } from './builtins.ts';
import { NoValue } from './no-value.ts';
import { Decimal, isList, isNumber, numberOf, type Rego, RegoSet, scaled } from './values.ts';

type Numeral = bigint | Decimal;

export const ARITHMETIC_BUILTINS = {
  plus: ([a, b]) => exactly(a, b, (x, y) => x + y) ?? shown(add(float(a), float(b))),
  minus: ([a, b]) => {
    if (a instanceof RegoSet && b instanceof RegoSet) return difference(a, b);
    return exactly(a, b, (x, y) => x - y) ?? shown(add(float(a), negative(float(b))));
  },
  mul: ([a, b]) => exactly(a, b, (x, y) => x * y) ?? shown(multiply(float(a), float(b))),
  div: ([a, b]) => divide(a, b),
  rem: ([a, b]) => {
    const by = whole(b);
    if (by === 0n) throw new NoValue('modulo by zero');
    const rest = exactly(a, b, (x, y) => x % y);
    if (rest === undefined) throw new NoValue('modulo on floating-point number');
    return rest;
  },
  abs: ([a]) => {
    const value = float(a);
    return shown(value.mantissa < 0n ? negative(value) : value);
  },
  round: ([a]) => truncate(add(float(a), float(a).mantissa < 0n ? negative(HALF) : HALF)),
  ceil: ([a]) => {
    const [value, cut] = [float(a), truncate(float(a))];
    return value.mantissa <= 0n || isWhole(value) ? cut : cut + 1n;
  },
  floor: ([a]) => {
    const [value, cut] = [float(a), truncate(float(a))];
    return value.mantissa >= 0n || isWhole(value) ? cut : cut - 1n;
  },
  sum: ([list]) =>
    fold(list, { start: 0n, exact: (x, y) => x + y, inexact: (x, y) => add(x, y), bits: BITS }),
  product: ([list]) =>
    fold(list, {
      start: 1n,
      exact: (x, y) => x * y,
      inexact: (x, y) => multiply(x, y, PRODUCT_BITS),
      bits: PRODUCT_BITS,
    }),
} as const satisfies Record<string, Builtin>;

/** mantissa * 2^exponent; the mantissa has at most 64 bits. */
interface Float {
  readonly mantissa: bigint;
  readonly exponent: number;
}

const BITS = 64;
/** OPA begins a product with a double, and so it stays one. */
const PRODUCT_BITS = 53;
const HALF: Float = { mantissa: 1n, exponent: -1 };
/** Go refuses longer ones too, by time; here they would only take memory. */
const EXPONENT_MAX = 5_000;

function operand(value: Rego | undefined): Numeral {
  if (value === undefined || !isNumber(value)) throw new NoValue('operand must be a number');
  return value;
}

/** A whole number, also one written as 1e3 or 2.0; undefined for another. */
function whole(value: Rego | undefined): bigint | undefined {
  const { digits, exponent } = bounded(operand(value));
  if (exponent >= 0) return digits * 10n ** BigInt(exponent);
  const unit = 10n ** BigInt(-exponent);
  return digits % unit === 0n ? digits / unit : undefined;
}

function bounded(value: Numeral) {
  const parts = scaled(value);
  if (Math.abs(parts.exponent) > EXPONENT_MAX) throw new Error('a number of too many digits');
  return parts;
}

function exactly(
  a: Rego | undefined,
  b: Rego | undefined,
  operation: (x: bigint, y: bigint) => bigint,
): bigint | undefined {
  const [x, y] = [whole(a), whole(b)];
  return x === undefined || y === undefined ? undefined : operation(x, y);
}

function divide(a: Rego | undefined, b: Rego | undefined): Numeral {
  const [x, y] = [float(a), float(b)];
  if (y.mantissa === 0n) throw new NoValue('divide by zero');
  // 2 bits more than are kept, and one that says whether anything is left, are enough to round.
  const shift = Math.max(0, BITS + 2 + bitLength(y.mantissa) - bitLength(x.mantissa));
  const dividend = x.mantissa << BigInt(shift + 1);
  const rest = dividend % y.mantissa === 0n ? 0n : 1n;
  const sign = x.mantissa < 0n !== y.mantissa < 0n ? -1n : 1n;
  const quotient = absolute(dividend) / absolute(y.mantissa);
  return shown(rounded(sign * ((quotient << 1n) | rest), x.exponent - y.exponent - shift - 2));
}

/** As Go's SetString: the nearest number of 64 bits. */
function float(value: Rego | undefined): Float {
  const { digits, exponent } = bounded(operand(value));
  if (exponent >= 0) return rounded(digits * 10n ** BigInt(exponent), 0);
  const unit = 10n ** BigInt(-exponent);
  const shift = BITS + 2 + bitLength(unit);
  const shifted = absolute(digits) << BigInt(shift);
  const sticky = shifted % unit === 0n ? 0n : 1n;
  const sign = digits < 0n ? -1n : 1n;
  return rounded(sign * (((shifted / unit) << 1n) | sticky), -shift - 1);
}

const absolute = (value: bigint): bigint => (value < 0n ? -value : value);
function bitLength(value: bigint): number {
  if (value === 0n) return 0;
  const hex = absolute(value).toString(16);
  return hex.length * 4 - Math.clz32(Number.parseInt(hex.charAt(0), 16)) + 28;
}

/** To so many bits, half to even. */
function rounded(mantissa: bigint, exponent: number, bits = BITS): Float {
  const excess = bitLength(mantissa) - bits;
  if (excess <= 0) return { mantissa, exponent };
  const size = absolute(mantissa);
  const by = BigInt(excess);
  const half = 1n << (by - 1n);
  const rest = size & ((1n << by) - 1n);
  let kept = size >> by;
  if (rest > half || (rest === half && (kept & 1n) === 1n)) kept += 1n;
  return { mantissa: mantissa < 0n ? -kept : kept, exponent: exponent + excess };
}

function add(a: Float, b: Float): Float {
  const exponent = Math.min(a.exponent, b.exponent);
  const aligned = (one: Float) => one.mantissa << BigInt(one.exponent - exponent);
  return rounded(aligned(a) + aligned(b), exponent);
}

const multiply = (a: Float, b: Float, bits = BITS): Float =>
  rounded(a.mantissa * b.mantissa, a.exponent + b.exponent, bits);
const negative = ({ mantissa, exponent }: Float): Float => ({ mantissa: -mantissa, exponent });

function truncate({ mantissa, exponent }: Float): bigint {
  if (exponent >= 0) return mantissa << BigInt(exponent);
  const size = absolute(mantissa) >> BigInt(-exponent);
  return mantissa < 0n ? -size : size;
}

const isWhole = (value: Float): boolean =>
  value.exponent >= 0 || absolute(value.mantissa) % (1n << BigInt(-value.exponent)) === 0n;

function difference(a: RegoSet, b: RegoSet): RegoSet {
  return new RegoSet(a.items.filter((item) => !b.has(item)));
}

interface Fold {
  readonly start: bigint;
  readonly exact: (x: bigint, y: bigint) => bigint;
  readonly inexact: (x: Float, y: Float) => Float;
  readonly bits: number;
}

function fold(list: Rego | undefined, { start, exact, inexact, bits }: Fold): Numeral {
  const items = list instanceof RegoSet ? list.items : list;
  if (items === undefined || !isList(items)) throw new NoValue('operand must be a list or a set');
  const wholes = items.map(whole);
  if (wholes.every((one) => one !== undefined)) return wholes.reduce(exact, start);
  return shown(items.map(float).reduce(inexact, { mantissa: start, exponent: 0 }), bits);
}

/** As Go's Text(-1): the fewest digits that are read as the same number, whole numbers without an exponent. */
function shown(value: Float, bits = BITS): Numeral {
  const whole = isWhole(value);
  // Whole numbers of so few bits have no shorter writing that is read as the same.
  if (whole && bitLength(value.mantissa) + value.exponent <= bits) return truncate(value);
  const sign = value.mantissa < 0n ? '-' : '';
  const size = absolute(value.mantissa);
  const lift = bits + 1 - bitLength(size);
  const [exact, exponent] = [size << BigInt(lift), value.exponent - lift];
  const { digits, point } = shortest(exact, exponent);
  if (whole) return BigInt(`${sign}${digits.padEnd(point, '0')}`);
  return numeral(digits, point, sign);
}

interface Digits {
  readonly digits: string;
  /** How many digits stand before the point. */
  readonly point: number;
}

/** mantissa * 2^exponent in decimal, all digits, without zeros at the end. */
function decimal(mantissa: bigint, exponent: number): Digits {
  const places = Math.max(0, -exponent);
  const text = String(mantissa * (exponent >= 0 ? 2n ** BigInt(exponent) : 5n ** BigInt(places)));
  return { digits: text.replace(/0+$/, ''), point: text.length - places };
}

/** As Go's roundShortest: the last bit of `mantissa`, which has one more than is kept, is half a unit. */
function shortest(mantissa: bigint, exponent: number): Digits {
  const { digits, point } = decimal(mantissa, exponent);
  const lower = decimal(mantissa - 1n, exponent).digits;
  const upper = decimal(mantissa + 1n, exponent).digits;
  const inclusive = (mantissa & 2n) === 0n;
  for (let at = 0; at < digits.length; at++) {
    const [digit, low, high] = [digits[at] ?? '0', lower[at] ?? '0', upper[at] ?? '0'];
    const down = low !== digit || (inclusive && at + 1 === lower.length);
    const up =
      digit !== high && (inclusive || Number(digit) + 1 < Number(high) || at + 1 < upper.length);
    if (down || up) return cut({ digits, point }, at + 1, up && (!down || isUpper(digits, at + 1)));
  }
  return { digits, point };
}

/** Whether what is cut off is more than half, or half after an odd digit. */
function isUpper(digits: string, kept: number): boolean {
  const next = digits[kept] ?? '0';
  if (next === '5' && kept + 1 === digits.length) return Number(digits[kept - 1]) % 2 === 1;
  return next >= '5';
}

function cut({ digits, point }: Digits, kept: number, up: boolean): Digits {
  if (kept >= digits.length) return { digits, point };
  const short = String(BigInt(digits.slice(0, kept)) + (up ? 1n : 0n));
  return { digits: short.replace(/0+$/, ''), point: point + short.length - kept };
}

/** As %g with the shortest digits: an exponent below 1e-4 and from 1e+06 up, of two digits at least. */
function numeral(digits: string, point: number, sign: string): Numeral {
  const exponent = point - 1;
  if (exponent < -4 || exponent >= GO_EXPONENT_FROM) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    const power = Math.abs(exponent).toString().padStart(2, '0');
    return new Decimal(`${sign}${digits[0] ?? ''}${fraction}e${exponent < 0 ? '-' : '+'}${power}`);
  }
  if (point <= 0) return new Decimal(`${sign}0.${'0'.repeat(-point)}${digits}`);
  return numberOf(`${sign}${digits.slice(0, point)}.${digits.slice(point)}`);
}

/** math/big takes an exponent from 1e+06 up when it may choose the digits itself. */
const GO_EXPONENT_FROM = 6;

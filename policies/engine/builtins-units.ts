/** Builtins that read quantities and ids: units, UUIDs. */
import type { Builtin } from './builtins.ts';
import { NoValue } from './no-value.ts';
import { text } from './operands.ts';
import { Decimal, type Rego, RegoObject, scaled } from './values.ts';

export const UNIT_BUILTINS = {
  'units.parse': ([value]) => units(text(value)),
  'units.parse_bytes': ([value]) => bytes(text(value)),
  'uuid.parse': ([value]) => uuid(text(value)),
} as const satisfies Record<string, Builtin>;

const K = 1_000n;
const KI = 1_024n;
const POWERS = ['', 'k', 'm', 'g', 't', 'p', 'e'];

interface Quantity {
  /** numerator / 10^places. */
  readonly numerator: bigint;
  readonly places: number;
  readonly unit: string;
}

/** A number in Go's writing, and what stands behind it. */
function quantity(value: string): Quantity {
  if (value.includes(' ')) throw new NoValue('spaces not allowed in resource strings');
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,6}(?!\d))?)(.*)$/su.exec(value);
  if (match === null) throw new NoValue('no amount provided');
  const { digits, exponent } = scaled(
    new Decimal((match[1] ?? '').replace(/^\+/, '').replace(/^(-?)\./, '$10.')),
  );
  if (Math.abs(exponent) > 5_000) throw new Error('a number of too many digits');
  return exponent >= 0
    ? { numerator: digits * 10n ** BigInt(exponent), places: 0, unit: match[2] ?? '' }
    : { numerator: digits, places: -exponent, unit: match[2] ?? '' };
}

function bytes(value: string): Rego {
  const { numerator, places, unit } = quantity(value.toLowerCase().replaceAll('"', ''));
  const power = POWERS.indexOf(unit.slice(0, 1));
  const factor = new Map([
    ['', 1n],
    ['b', K],
    ['i', KI],
    ['ib', KI],
  ]);
  const base = unit === '' ? 1n : (factor.get(unit.slice(1)) ?? undefined);
  if (power < 0 || base === undefined) throw new NoValue('byte unit not recognized');
  return (numerator * (base === 1n ? K : base) ** BigInt(power)) / 10n ** BigInt(places);
}

function units(value: string): Rego {
  const { numerator, places, unit } = quantity(value.replaceAll('"', ''));
  const [multiplier, down] = factorOf(unit);
  const unitPlaces = places + (down ? 3 : 0);
  const total = numerator * multiplier;
  const scale = 10n ** BigInt(unitPlaces);
  if (total % scale === 0n) return total / scale;
  // Ten places, half away from zero, as Go's FloatString.
  const size = total < 0n ? -total : total;
  const rounded = String((size * 10n ** 10n * 2n + scale) / (scale * 2n)).padStart(11, '0');
  return new Decimal(`${total < 0n ? '-' : ''}${rounded.slice(0, -10)}.${rounded.slice(-10)}`);
}

/** What a unit stands for, and whether it is thousandths. Only "m" and "M" differ by case. */
function factorOf(unit: string): readonly [bigint, boolean] {
  if (unit === 'm') return [1n, true];
  const lower = unit.toLowerCase();
  const power = BigInt(POWERS.indexOf(lower.slice(0, 1)));
  if (power >= 0n && lower.length <= 1) return [K ** power, false];
  if (power >= 0n && lower.slice(1) === 'i') return [KI ** power, false];
  throw new NoValue('unit not recognized');
}

const VARIANTS = ['NCS', 'NCS', 'NCS', 'NCS', 'RFC4122', 'RFC4122', 'Microsoft', 'Future'];

/** Version and variant; of versions 1 and 2 more, which nobody makes any more. */
function uuid(value: string): Rego | undefined {
  const plain = /^(?:urn:uuid:)?([0-9a-f-]{36}|[0-9a-f]{32})$|^.([0-9a-f-]{36}).$/i
    .exec(value)
    ?.slice(1)
    .find((found) => found !== undefined);
  const hex = plain?.replaceAll('-', '') ?? '';
  const dashed = plain?.length === 36 && !/^.{8}-.{4}-.{4}-.{4}-.{12}$/.test(plain);
  if (!/^[0-9a-f]{32}$/i.test(hex) || dashed) return undefined;
  const version = BigInt(`0x${hex[12] ?? '0'}`);
  if (version === 1n || version === 2n) throw new Error('a UUID of version 1 or 2');
  const variant = VARIANTS[Number(`0x${hex[16] ?? '0'}`) >> 1] ?? '';
  return new RegoObject([
    ['version', version],
    ['variant', variant],
  ]);
}

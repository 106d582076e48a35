/**
 * Builtins over time. Now is the recorded time of the decision, so a replay sees the same. Timestamps are
 * nanoseconds since 1970. Time zones follow the rules of this Node (`process.versions.tz`).
 */
import { wallTimeFormat } from '#contracts/wall-time.ts';

import type { Builtin } from './builtins.ts';
import { type Clocked, formatTime, LAYOUTS, parseTime } from './go-time.ts';
import { NoValue, orUndefined } from './no-value.ts';
import { integer, text } from './operands.ts';
import { isList, isNumber, type Rego, scaled } from './values.ts';

export const TIME_BUILTINS = {
  'time.now_ns': (_, clock) => BigInt(clock.timeMs) * 1_000_000n,
  // The one whose error is no failure: people ask by it whether a text is a time.
  'time.parse_rfc3339_ns': ([value]) => {
    const written = text(value);
    return orUndefined(() => inRange(parseTime(LAYOUTS['RFC3339'] ?? '', written)));
  },
  'time.parse_ns': ([layout, value]) =>
    inRange(parseTime(LAYOUTS[text(layout)] ?? text(layout), text(value))),
  'time.parse_duration_ns': ([value]) => duration(text(value)),
  'time.date': ([moment]) => {
    const { year, month, day } = momentOf(moment);
    return [year, month, day].map(BigInt);
  },
  'time.clock': ([moment]) => {
    const { hour, minute, second } = momentOf(moment);
    return [hour, minute, second].map(BigInt);
  },
  'time.weekday': ([moment]) => WEEKDAYS[momentOf(moment).weekday],
  'time.add_date': ([moment, years, months, days]) =>
    addDate(momentOf(moment), integer(years), integer(months), integer(days)),
  'time.diff': ([left, right]) => difference(momentOf(left), momentOf(right)),
  'time.format': ([moment]) => {
    const { layout, ...at } = momentOf(moment);
    return formatTime(
      layout === '' ? (LAYOUTS['RFC3339Nano'] ?? '') : (LAYOUTS[layout] ?? layout),
      at,
    );
  },
} as const satisfies Record<string, Builtin>;

const NS_PER_SECOND = 1_000_000_000n;
/** What a signed 64-bit count of nanoseconds can say, as in Go: years 1677 to 2262. */
const NS_MIN = -(2n ** 63n);
const NS_MAX = 2n ** 63n - 1n;
const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** A point in time as it reads in a zone. */
interface Moment extends Clocked {
  readonly nanoseconds: bigint;
  /** Index from Sunday. */
  readonly weekday: number;
  /** For time.format, "" without one. */
  readonly layout: string;
}

function inRange(nanoseconds: bigint): bigint {
  if (nanoseconds < NS_MIN || nanoseconds > NS_MAX)
    throw new NoValue('time outside of valid range');
  return nanoseconds;
}

/** Nanoseconds, or a list of nanoseconds, zone and layout. */
function momentOf(stated: Rego | undefined): Moment {
  const [count, zone = '', layout = ''] =
    stated !== undefined && isList(stated) ? stated : [stated, undefined, undefined];
  if (count === undefined || !isNumber(count))
    throw new NoValue('a timestamp is a number of nanoseconds');
  return momentAt(timestamp(count), text(zone), text(layout));
}

function timestamp(count: Rego): bigint {
  if (typeof count !== 'bigint') {
    // Written as 1.5e18 it is a whole number too.
    const { digits, exponent } = isNumber(count) ? scaled(count) : { digits: 0n, exponent: -1 };
    if (exponent < 0 || exponent > 20) throw new NoValue('a timestamp is a whole number');
    return timestamp(digits * 10n ** BigInt(exponent));
  }
  if (count < NS_MIN || count > NS_MAX) throw new NoValue('timestamp too big');
  return count;
}

function momentAt(nanoseconds: bigint, zone: string, layout = ''): Moment {
  const seconds = floorDivide(nanoseconds, NS_PER_SECOND);
  const offset = offsetAt(Number(seconds), zone);
  const local = new Date((Number(seconds) + offset) * 1_000);
  return {
    nanoseconds,
    year: local.getUTCFullYear(),
    month: local.getUTCMonth() + 1,
    day: local.getUTCDate(),
    hour: local.getUTCHours(),
    minute: local.getUTCMinutes(),
    second: local.getUTCSeconds(),
    weekday: local.getUTCDay(),
    fraction: Number(nanoseconds - seconds * NS_PER_SECOND),
    offset,
    zone,
    layout,
  };
}

function floorDivide(value: bigint, by: bigint): bigint {
  return value >= 0n ? value / by : (value - by + 1n) / by;
}

/** As the IANA database writes names; Intl alone would also take lower case and offsets. */
const ZONE = /^[A-Z][A-Za-z0-9_+-]*(\/[A-Z][A-Za-z0-9_+-]*)*$/;
/** A format takes some 50 KB. */
const FORMATS_MAX = 32;
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known !== undefined) return known;
  if (!ZONE.test(zone)) throw new NoValue('not a time zone of the IANA database');
  const format = formatIn(zone);
  if (formats.size >= FORMATS_MAX) formats.clear();
  formats.set(zone, format);
  return format;
}

function formatIn(timeZone: string): Intl.DateTimeFormat {
  try {
    return wallTimeFormat(timeZone);
  } catch {
    throw new NoValue('not a time zone of the IANA database');
  }
}

/** Seconds that a zone is ahead of UTC. "Local" would be the machine's: two workers could differ. */
function offsetAt(seconds: number, zone: string): number {
  if (zone === '' || zone === 'UTC') return 0;
  if (zone === 'Local') throw new Error('the zone "Local" is not the same everywhere');
  const date = new Date(seconds * 1_000);
  const parts = new Map(
    formatOf(zone)
      .formatToParts(date)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const part = (name: Intl.DateTimeFormatPartTypes) => parts.get(name) ?? Number.NaN;
  const local = utc(part('year'), part('month'), part('day'));
  local.setUTCHours(part('hour'), part('minute'), part('second'));
  return local.getTime() / 1_000 - seconds;
}

function addDate(from: Moment, years: number, months: number, days: number): bigint {
  const date = utc(from.year + years, from.month + months, from.day + days);
  date.setUTCHours(from.hour, from.minute, from.second);
  if (Number.isNaN(date.getTime())) throw new NoValue('time outside of valid range');
  const local = date.getTime() / 1_000;
  // As Go's time.Date: the offset that holds where the first guess leads.
  const seconds = local - offsetAt(local - offsetAt(local, from.zone), from.zone);
  return inRange(BigInt(seconds) * NS_PER_SECOND + BigInt(from.fraction));
}

/** Midnight of a day; months and days may overflow. `Date.UTC` alone would read years 0 to 99 as 1900 to 1999. */
function utc(year: number, month: number, day: number): Date {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date;
}

/** Years, months, days, hours, minutes, seconds between two moments, both read in the zone of the first. */
function difference(left: Moment, right: Moment): bigint[] {
  const other = momentAt(right.nanoseconds, left.zone);
  const [from, to] = left.nanoseconds > other.nanoseconds ? [other, left] : [left, other];
  const fields = [
    to.year - from.year,
    to.month - from.month,
    to.day - from.day,
    to.hour - from.hour,
    to.minute - from.minute,
    to.second - from.second,
  ];
  const daysOfMonth = utc(from.year, from.month + 1, 0).getUTCDate();
  const sizes = [0, 12, daysOfMonth, 24, 60, 60];
  for (let at = 5; at > 0; at--) {
    if ((fields[at] ?? 0) >= 0) continue;
    fields[at] = (fields[at] ?? 0) + (sizes[at] ?? 0);
    fields[at - 1] = (fields[at - 1] ?? 0) - 1;
  }
  return fields.map(BigInt);
}

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  '\u00b5s': 1_000n,
  '\u03bcs': 1_000n,
  ms: 1_000_000n,
  s: NS_PER_SECOND,
  m: 60n * NS_PER_SECOND,
  h: 3_600n * NS_PER_SECOND,
  d: 24n * 3_600n * NS_PER_SECOND,
  w: 7n * 24n * 3_600n * NS_PER_SECOND,
  y: 365n * 24n * 3_600n * NS_PER_SECOND,
};
const DURATION = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h|d|w|y))+)$/;
const DURATION_PART = /(\d*)(?:\.(\d*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h|d|w|y)/g;

/** "1h30m", also with days, weeks and years of 365 days. */
function duration(value: string): bigint {
  if (value === '0' || value === '+0' || value === '-0') return 0n;
  const match = DURATION.exec(value);
  if (match === null) throw new NoValue('invalid duration');
  let total = 0n;
  for (const [, whole = '', fraction = '', unit = ''] of (match[2] ?? '').matchAll(DURATION_PART)) {
    const size = UNITS[unit] ?? 0n;
    const digits = fraction.slice(0, 18);
    total += BigInt(whole === '' ? 0 : whole) * size;
    if (digits !== '') total += (BigInt(digits) * size) / 10n ** BigInt(digits.length);
  }
  return inRange(match[1] === '-' ? -total : total);
}

/**
 * Builtins over time. Now is the recorded time of the decision, so a replay sees the same.
 * Timestamps are nanoseconds since 1970; operands are read to the microsecond, because the SDK hands them over
 * as doubles. Time zones follow the rules of this Node (`process.versions.tz`).
 */
import type { Builtin } from './builtins.ts';

export const TIME_BUILTINS = {
  'time.now_ns': (_, clock) => clock.timeMs * NS_PER_MS,
  'time.parse_rfc3339_ns': ([value]) => parseRfc3339(value),
  'time.date': ([moment]) => {
    const [year, month, day] = local(moment);
    return [year, month, day];
  },
  'time.clock': ([moment]) => local(moment).slice(3),
  'time.weekday': ([moment]) => {
    const [year, month, day] = local(moment);
    return WEEKDAYS[utc(year, month, day).getUTCDay()];
  },
  'time.add_date': ([moment, years, months, days]) =>
    addDate(moment, integer(years), integer(months), integer(days)),
} as const satisfies Record<string, Builtin>;

const NS_PER_MS = 1_000_000;
const US_PER_MS = 1_000n;
/** What a signed 64-bit count of nanoseconds can say, as in Go: years 1677 to 2262. */
const NS_MIN = -(2n ** 63n);
const NS_MAX = 2n ** 63n - 1n;
/** Doubles below it are at most 512 ns apart, so the nearest microsecond is the right one: years 1824 to 2116. */
const NS_OPERAND_MAX = 2 ** 62;
const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

type LocalTime = readonly [
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
];

/** RFC 3339 as Go reads it: a one-digit hour and a decimal comma pass too. */
const RFC3339 =
  /^(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;

/** Nanoseconds of a time, or undefined for text that is none: the one failure that a policy may test for. */
function parseRfc3339(value: unknown): unknown {
  if (typeof value !== 'string') throw new Error('operand must be a string');
  const match = RFC3339.exec(value);
  if (match === null) return undefined;
  const part = (at: number) => Number(match[at] ?? 0);
  const [year, month, day] = [part(1), part(2), part(3)];
  const date = utc(year, month, day);
  const exists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  const inRange = part(4) < 24 && part(5) < 60 && part(6) < 60 && part(9) <= 24 && part(10) <= 60;
  if (!exists || !inRange) return undefined;
  const east = (part(9) * 60 + part(10)) * 60 * (match[8] === '-' ? -1 : 1);
  const seconds = date.getTime() / 1_000 + part(4) * 3_600 + part(5) * 60 + part(6) - east;
  const nanoseconds = BigInt((match[7] ?? '').slice(0, 9).padEnd(9, '0'));
  return exact(BigInt(seconds) * 1_000_000_000n + nanoseconds);
}

/** An integer beyond 2^53 with all its digits; undefined outside what nanoseconds can say. */
function exact(nanoseconds: bigint): unknown {
  if (nanoseconds < NS_MIN || nanoseconds > NS_MAX) return undefined;
  // JSON.rawJSON is in Node 24 and not yet in the library of types.
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(nanoseconds));
}

/** Calendar and clock of a moment: nanoseconds, or [nanoseconds, zone]. */
function local(moment: unknown): LocalTime {
  const { microseconds, zone } = momentOf(moment);
  const date = new Date(Number(floorDivide(microseconds, US_PER_MS)));
  if (zone !== '' && zone !== 'UTC') return zoned(date, zone);
  return [
    date.getUTCFullYear(),
    date.getUTCMonth() + 1,
    date.getUTCDate(),
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds(),
  ];
}

function momentOf(moment: unknown): { microseconds: bigint; zone: string } {
  const [nanoseconds, zone] = Array.isArray(moment) ? (moment as unknown[]) : [moment, ''];
  if (typeof nanoseconds !== 'number' || !Number.isInteger(nanoseconds)) {
    throw new Error('a timestamp is an integer of nanoseconds');
  }
  if (Math.abs(nanoseconds) >= NS_OPERAND_MAX) throw new Error('timestamp too big');
  if (zone !== undefined && typeof zone !== 'string') throw new Error('a time zone is a string');
  // Rounding undoes what the double lost.
  const microseconds = BigInt(Math.round(nanoseconds / 1_000));
  return { microseconds, zone: zone ?? '' };
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
  if (!ZONE.test(zone)) throw new Error('not a time zone of the IANA database');
  // Throws for a name that it does not know.
  const format = new Intl.DateTimeFormat('en-u-ca-iso8601-hc-h23', {
    timeZone: zone,
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  if (formats.size >= FORMATS_MAX) formats.clear();
  formats.set(zone, format);
  return format;
}

function zoned(date: Date, zone: string): LocalTime {
  const format = formatOf(zone);
  const parts = new Map(format.formatToParts(date).map(({ type, value }) => [type, Number(value)]));
  const part = (name: Intl.DateTimeFormatPartTypes) => parts.get(name) ?? Number.NaN;
  return [part('year'), part('month'), part('day'), part('hour'), part('minute'), part('second')];
}

function addDate(moment: unknown, years: number, months: number, days: number): unknown {
  const { microseconds, zone } = momentOf(moment);
  if (zone !== '' && zone !== 'UTC') throw new Error('dates are added in UTC only');
  const [year, month, day, hour, minute, second] = local(moment);
  const date = utc(year + years, month + months, day + days);
  date.setUTCHours(hour, minute, second);
  if (Number.isNaN(date.getTime())) throw new Error('time outside of valid range');
  const fraction = microseconds - floorDivide(microseconds, 1_000_000n) * 1_000_000n;
  const sum = exact((BigInt(date.getTime()) * US_PER_MS + fraction) * 1_000n);
  if (sum === undefined) throw new Error('time outside of valid range');
  return sum;
}

function integer(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
    throw new Error('operand must be an integer');
  }
  return value;
}

/** Midnight of a day; months and days may overflow. `Date.UTC` alone would read years 0 to 99 as 1900 to 1999. */
function utc(year: number, month: number, day: number): Date {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date;
}

/** Go's layouts of times ("2006-01-02 15:04:05 -0700"): written, and read back. */
import { NoValue } from './no-value.ts';

/** A time as it reads on a clock. */
export interface Clocked {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  /** Nanoseconds. */
  readonly fraction: number;
  /** Seconds ahead of UTC. */
  readonly offset: number;
  readonly zone: string;
}

/** Names that OPA knows for layouts. */
export const LAYOUTS: Readonly<Record<string, string>> = {
  ANSIC: 'Mon Jan _2 15:04:05 2006',
  UnixDate: 'Mon Jan _2 15:04:05 MST 2006',
  RubyDate: 'Mon Jan 02 15:04:05 -0700 2006',
  RFC822: '02 Jan 06 15:04 MST',
  RFC822Z: '02 Jan 06 15:04 -0700',
  RFC850: 'Monday, 02-Jan-06 15:04:05 MST',
  RFC1123: 'Mon, 02 Jan 2006 15:04:05 MST',
  RFC1123Z: 'Mon, 02 Jan 2006 15:04:05 -0700',
  RFC3339: '2006-01-02T15:04:05Z07:00',
  RFC3339Nano: '2006-01-02T15:04:05.999999999Z07:00',
};

const MONTHS =
  'January February March April May June July August September October November December'.split(
    ' ',
  );
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** The pieces of a layout, the longest first; a name is one only where no small letter follows. */
const PIECE =
  /January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|__2|_2006|_2|002|01|02|03|04|05|06|2006|15|PM|pm|Z070000|Z07:00:00|Z0700|Z07:00|Z07|-070000|-07:00:00|-0700|-07:00|-07|[.,]0+(?!\d)|[.,]9+(?!\d)|1|2|3|4|5/g;

type Token = { readonly piece: string } | { readonly words: string };

function tokens(layout: string): Token[] {
  const found: Token[] = [];
  let end = 0;
  for (const match of layout.matchAll(PIECE)) {
    if (match.index > end) found.push({ words: layout.slice(end, match.index) });
    if (match[0] === '_2006') found.push({ words: '_' }, { piece: '2006' });
    else found.push({ piece: match[0] });
    end = match.index + match[0].length;
  }
  if (end < layout.length) found.push({ words: layout.slice(end) });
  return found;
}

const two = (value: number, fill = '0'): string => String(value).padStart(2, fill);

/** A time in a layout. */
export function formatTime(layout: string, at: Clocked): string {
  return tokens(layout)
    .map((token) => ('words' in token ? token.words : written(token.piece, at)))
    .join('');
}

function written(piece: string, at: Clocked): string {
  const hour12 = at.hour % 12 === 0 ? 12 : at.hour % 12;
  const month = MONTHS[at.month - 1] ?? '';
  const date = new Date(Date.UTC(at.year, at.month - 1, at.day));
  const weekday = DAYS[date.getUTCDay()] ?? '';
  const ofYear = Math.round((date.getTime() - Date.UTC(at.year, 0, 1)) / 86_400_000) + 1;
  const plain: Readonly<Record<string, string>> = {
    January: month,
    Jan: month.slice(0, 3),
    Monday: weekday,
    Mon: weekday.slice(0, 3),
    '01': two(at.month),
    '1': String(at.month),
    '02': two(at.day),
    _2: two(at.day, ' '),
    '2': String(at.day),
    '002': String(ofYear).padStart(3, '0'),
    __2: String(ofYear).padStart(3, ' '),
    '15': two(at.hour),
    '03': two(hour12),
    '3': String(hour12),
    '04': two(at.minute),
    '4': String(at.minute),
    '05': two(at.second),
    '5': String(at.second),
    '2006': String(at.year).padStart(4, '0'),
    '06': two(at.year % 100),
    PM: at.hour >= 12 ? 'PM' : 'AM',
    pm: at.hour >= 12 ? 'pm' : 'am',
  };
  const known = plain[piece];
  if (known !== undefined) return known;
  if (piece === 'MST') return abbreviation(at);
  if (piece.startsWith('Z') && at.offset === 0) return 'Z';
  if (/^[Z-]/.test(piece)) return offset(piece, at.offset);
  return fraction(piece, at.fraction);
}

/** Intl has no reliable abbreviations of zones. */
function abbreviation({ zone }: Clocked): string {
  if (zone === '' || zone === 'UTC') return 'UTC';
  throw new Error('the abbreviation of a zone other than UTC is not known');
}

function offset(piece: string, seconds: number): string {
  const size = Math.abs(seconds);
  const parts = [Math.floor(size / 3_600), Math.floor(size / 60) % 60, size % 60].map((part) =>
    two(part),
  );
  const digits = piece.replace(/\D/g, '').length;
  return (
    (seconds < 0 ? '-' : '+') + parts.slice(0, digits / 2).join(piece.includes(':') ? ':' : '')
  );
}

function fraction(piece: string, nanoseconds: number): string {
  const digits = String(nanoseconds)
    .padStart(9, '0')
    .slice(0, piece.length - 1)
    .padEnd(piece.length - 1, '0');
  if (piece[1] === '0') return piece.slice(0, 1) + digits;
  const short = digits.replace(/0+$/, '');
  return short === '' ? '' : piece.slice(0, 1) + short;
}

interface Reading {
  year: number;
  month: number | undefined;
  day: number | undefined;
  ofYear: number | undefined;
  hour: number;
  minute: number;
  second: number;
  nanoseconds: bigint;
  afternoon: boolean | undefined;
  offset: number;
}

/** Nanoseconds since 1970 of a time written in a layout; without a zone it is UTC. @throws NoValue */
export function parseTime(layout: string, value: string): bigint {
  const reading: Reading = {
    year: 0,
    month: undefined,
    day: undefined,
    ofYear: undefined,
    hour: 0,
    minute: 0,
    second: 0,
    nanoseconds: 0n,
    afternoon: undefined,
    offset: 0,
  };
  let rest = value;
  const pieces = tokens(layout);
  for (const [at, token] of pieces.entries()) {
    if ('words' in token) {
      rest = skip(rest, token.words);
      continue;
    }
    rest = read(token.piece, rest, reading);
    const next = pieces[at + 1];
    const fractionFollows = next !== undefined && 'piece' in next && /^[.,]/.test(next.piece);
    const fractional = /^[.,]\d+/.exec(rest);
    // A fraction of a second is read even where the layout has none.
    if (/^0?5$/.test(token.piece) && !fractionFollows && fractional !== null) {
      reading.nanoseconds = billionths(fractional[0].slice(1));
      rest = rest.slice(fractional[0].length);
    }
  }
  if (rest !== '') throw new NoValue('extra text behind the time');
  return resolve(reading);
}

const billionths = (digits: string): bigint => BigInt(digits.slice(0, 9).padEnd(9, '0'));

/** Words of a layout stand in the value; blanks in both may be more or fewer. */
function skip(value: string, words: string): string {
  let rest = value;
  for (let at = 0; at < words.length; at++) {
    if (words[at] === ' ') {
      if (rest !== '' && !rest.startsWith(' ')) throw new NoValue('a blank is missing');
      while (words[at + 1] === ' ') at++;
      rest = rest.replace(/^ +/, '');
    } else {
      if (rest[0] !== words[at]) throw new NoValue('the time is not in its layout');
      rest = rest.slice(1);
    }
  }
  return rest;
}

function read(piece: string, value: string, into: Reading): string {
  let rest = value;
  const take = (pattern: RegExp): string => {
    const match = pattern.exec(rest);
    if (match === null) throw new NoValue('the time is not in its layout');
    rest = rest.slice(match[0].length);
    return match[0];
  };
  const number = (pattern: RegExp) => Number(take(pattern).trim());
  const name = (names: readonly string[], length?: number): number => {
    const at = names.findIndex((one) =>
      rest.toLowerCase().startsWith(one.slice(0, length).toLowerCase()),
    );
    if (at < 0) throw new NoValue('no such name');
    rest = rest.slice((names[at] ?? '').slice(0, length).length);
    return at;
  };
  switch (piece) {
    case '2006':
      into.year = number(/^\d{4}/);
      break;
    case '06':
      into.year = number(/^\d\d/);
      into.year += into.year >= 69 ? 1_900 : 2_000;
      break;
    case 'January':
      into.month = name(MONTHS) + 1;
      break;
    case 'Jan':
      into.month = name(MONTHS, 3) + 1;
      break;
    case '01':
    case '1':
      into.month = number(piece === '01' ? /^\d\d/ : /^\d\d?/);
      break;
    case 'Monday':
      name(DAYS);
      break;
    case 'Mon':
      name(DAYS, 3);
      break;
    case '02':
      into.day = number(/^\d\d?/);
      break;
    case '2':
    case '_2':
      into.day = number(piece === '_2' ? /^ ?\d\d?/ : /^\d\d?/);
      break;
    case '002':
    case '__2':
      into.ofYear = number(piece === '002' ? /^\d{3}/ : /^ {0,2}\d{1,3}/);
      break;
    case '15':
      into.hour = bounded(number(/^\d\d?/), 23);
      break;
    case '03':
    case '3':
      into.hour = bounded(number(piece === '03' ? /^\d\d/ : /^\d\d?/), 12);
      break;
    case '04':
    case '4':
      into.minute = bounded(number(piece === '04' ? /^\d\d/ : /^\d\d?/), 59);
      break;
    case '05':
    case '5':
      into.second = bounded(number(piece === '05' ? /^\d\d/ : /^\d\d?/), 59);
      break;
    case 'PM':
    case 'pm':
      into.afternoon = take(piece === 'PM' ? /^[AP]M/ : /^[ap]m/).startsWith(piece.slice(0, 1));
      break;
    case 'MST':
      into.offset = abbreviated(take(/^(?:GMT(?:[+-]\d{1,2})?|[A-Z]{3,5}|[+-]\d\d(?:\d\d)?)/));
      break;
    default:
      if (/^[.,]/.test(piece)) readFraction(piece, take, into, rest);
      else into.offset = readOffset(piece, take);
  }
  return rest;
}

function bounded(value: number, max: number): number {
  if (value > max) throw new NoValue('out of range');
  return value;
}

/** Abbreviations mean something in their own zone only: to Go they are UTC here, but "GMT+3". */
function abbreviated(name: string): number {
  const hours = /^(?:GMT)([+-]\d{1,2})$/.exec(name)?.[1];
  return hours === undefined ? 0 : Number(hours) * 3_600;
}

function readFraction(
  piece: string,
  take: (pattern: RegExp) => string,
  into: Reading,
  rest: string,
): void {
  if (piece[1] === '0') {
    into.nanoseconds = billionths(
      take(new RegExp(`^[.,]\\d{${piece.length - 1}}(?!\\d)`)).slice(1),
    );
  } else if (/^[.,]\d/.test(rest)) {
    into.nanoseconds = billionths(take(/^[.,]\d+/).slice(1));
  }
}

function readOffset(piece: string, take: (pattern: RegExp) => string): number {
  const colon = piece.includes(':') ? ':' : '';
  const more = piece.replace(/\D/g, '').length / 2 - 1;
  const digits = `[+-]\\d\\d(?:${colon}\\d\\d){${more}}`;
  const shown = take(new RegExp(piece.startsWith('Z') ? `^(?:Z|${digits})` : `^${digits}`));
  if (shown === 'Z') return 0;
  const [hours = 0, minutes = 0, seconds = 0] = (shown.match(/\d\d/g) ?? []).map(Number);
  if (hours > 24 || minutes > 60 || seconds > 60) throw new NoValue('offset out of range');
  return (hours * 3_600 + minutes * 60 + seconds) * (shown.startsWith('-') ? -1 : 1);
}

function resolve(reading: Reading): bigint {
  let { hour } = reading;
  if (reading.afternoon === true && hour < 12) hour += 12;
  if (reading.afternoon === false && hour === 12) hour = 0;
  const date = new Date(0);
  date.setUTCFullYear(reading.year, (reading.month ?? 1) - 1, reading.day ?? 1);
  const month = date.getUTCMonth() + 1;
  if (month !== (reading.month ?? 1) || date.getUTCDate() !== (reading.day ?? 1)) {
    throw new NoValue('day out of range');
  }
  if (reading.ofYear !== undefined) {
    date.setUTCFullYear(reading.year, 0, reading.ofYear);
    const fits =
      date.getUTCFullYear() === reading.year &&
      (reading.month === undefined || date.getUTCMonth() + 1 === reading.month) &&
      (reading.day === undefined || date.getUTCDate() === reading.day);
    if (!fits) throw new NoValue('day of the year out of range');
  }
  date.setUTCHours(hour, reading.minute, reading.second);
  return BigInt(date.getTime() / 1_000 - reading.offset) * 1_000_000_000n + reading.nanoseconds;
}

/** Fixed budget windows: they start on the minute, hour, day or month of the tenant's time zone. Pure. */
import type { Ceiling } from '#contracts/ceilings.ts';
import { wallTimeFormat } from '#contracts/wall-time.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const REFERENCE = Date.UTC(2026, 0, 1);

export interface Window {
  /** Milliseconds UTC. */
  readonly start: number;
  readonly end: number;
}

interface Local {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function format(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known !== undefined) return known;
  const made = wallTimeFormat(zone);
  formats.set(zone, made);
  return made;
}

/** Local wall time of an instant as if it were UTC, in whole seconds of milliseconds. */
function wall(at: number, zone: string): number {
  if (zone === 'UTC') return at - (at % 1_000);
  const part: Record<string, number> = {};
  for (const { type, value } of format(zone).formatToParts(at)) part[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/** The first instant of a local day. Where midnight does not exist it is the first instant after it. */
function dayStart({ year, month, day }: Local, zone: string): number {
  const midnight = Date.UTC(year, month, day);
  // Two rounds: the offset at the guess, then at the corrected guess, for days on which the clocks change.
  const guess = midnight - (wall(midnight, zone) - midnight);
  const corrected = guess + (midnight - wall(guess, zone));
  return wall(corrected, zone) < midnight ? guess : corrected;
}

/** The last window of each kind and zone: reading a clock of another zone takes longer than the rest of the check. */
const latest = new Map<string, Window>();

/** The window that holds an instant. @param zone an IANA time zone name */
export function windowAt(window: Ceiling['window'], at: number, zone: string): Window {
  const key = `${window} ${zone}`;
  const known = latest.get(key);
  if (known !== undefined && known.start <= at && at < known.end) return known;
  const found = findWindow(window, at, zone);
  latest.set(key, found);
  return found;
}

function findWindow(window: Ceiling['window'], at: number, zone: string): Window {
  if (window === 'minute') return aligned(at, MINUTE_MS, 0);
  // Zones with half hours exist: their hours begin at half past. One offset for good, so that no two hours overlap
  // where clocks change by half an hour.
  if (window === 'hour') return aligned(at, HOUR_MS, wall(REFERENCE, zone) - REFERENCE);
  const local = new Date(wall(at, zone));
  const year = local.getUTCFullYear();
  const month = local.getUTCMonth();
  const day = window === 'day' ? local.getUTCDate() : 1;
  const next =
    window === 'day' ? { year, month, day: day + 1 } : { year, month: month + 1, day: 1 };
  return { start: dayStart({ year, month, day }, zone), end: dayStart(next, zone) };
}

function aligned(at: number, lengthMs: number, offsetMs: number): Window {
  const start = at - ((at + offsetMs) % lengthMs);
  return { start, end: start + lengthMs };
}

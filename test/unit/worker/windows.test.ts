// Fixed windows in the tenant's time zone, also where the clocks change.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { windowAt } from '../../../services/decision-worker/checks/windows.ts';

const shown = (window: Parameters<typeof windowAt>[0], at: string, zone = 'UTC') => {
  const { start, end } = windowAt(window, Date.parse(at), zone);
  return [new Date(start).toISOString(), new Date(end).toISOString()];
};

describe('windowAt', () => {
  it.each([
    [
      'minute',
      '2026-11-21T10:11:12.345Z',
      'UTC',
      ['2026-11-21T10:11:00.000Z', '2026-11-21T10:12:00.000Z'],
    ],
    [
      'hour',
      '2026-11-21T10:11:12.345Z',
      'UTC',
      ['2026-11-21T10:00:00.000Z', '2026-11-21T11:00:00.000Z'],
    ],
    [
      'day',
      '2026-11-21T00:00:00.000Z',
      'UTC',
      ['2026-11-21T00:00:00.000Z', '2026-11-22T00:00:00.000Z'],
    ],
    [
      'month',
      '2026-12-31T23:59:59.999Z',
      'UTC',
      ['2026-12-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
    ],
    [
      'day',
      '2026-11-21T23:30:00.000Z',
      'Asia/Tokyo',
      ['2026-11-21T15:00:00.000Z', '2026-11-22T15:00:00.000Z'],
    ],
    // Clocks go forward: a day of 23 hours. Clocks go back: 25 hours.
    [
      'day',
      '2026-03-29T12:00:00.000Z',
      'Europe/Berlin',
      ['2026-03-28T23:00:00.000Z', '2026-03-29T22:00:00.000Z'],
    ],
    [
      'day',
      '2026-10-25T12:00:00.000Z',
      'Europe/Berlin',
      ['2026-10-24T22:00:00.000Z', '2026-10-25T23:00:00.000Z'],
    ],
    [
      'month',
      '2026-03-31T22:30:00.000Z',
      'Europe/Berlin',
      ['2026-03-31T22:00:00.000Z', '2026-04-30T22:00:00.000Z'],
    ],
  ] as const)('%s of %s in %s', (window, at, zone, expected) => {
    expect(shown(window, at, zone)).toEqual(expected);
  });

  it('holds its instant, and its end begins the next window', () => {
    const instants = fc.integer({ min: Date.parse('2020-01-01'), max: Date.parse('2040-01-01') });
    const windows = fc.constantFrom('minute', 'hour', 'day', 'month' as const);
    const zones = fc.constantFrom(
      'UTC',
      'Europe/Berlin',
      'America/New_York',
      'Asia/Kolkata',
      'Pacific/Auckland',
    );
    fc.assert(
      fc.property(instants, windows, zones, (at, window, zone) => {
        const { start, end } = windowAt(window as 'day', at, zone);
        const next = windowAt(window as 'day', end, zone);
        return start <= at && at < end && next.start === end;
      }),
      { numRuns: 500 },
    );
  });
});

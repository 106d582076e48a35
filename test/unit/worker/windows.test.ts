// Fixed windows in the tenant's time zone, also where the clocks change.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { runs } from '#test/support/runs.ts';

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
    // Hours of zones with half and quarter hours.
    [
      'hour',
      '2026-11-21T10:11:12.345Z',
      'Asia/Kolkata',
      ['2026-11-21T09:30:00.000Z', '2026-11-21T10:30:00.000Z'],
    ],
    [
      'hour',
      '2026-11-21T10:15:00.000Z',
      'Asia/Kathmandu',
      ['2026-11-21T10:15:00.000Z', '2026-11-21T11:15:00.000Z'],
    ],
    // The hour that comes twice is two windows.
    [
      'hour',
      '2026-10-25T00:30:00.000Z',
      'Europe/Berlin',
      ['2026-10-25T00:00:00.000Z', '2026-10-25T01:00:00.000Z'],
    ],
    [
      'hour',
      '2026-10-25T01:30:00.000Z',
      'Europe/Berlin',
      ['2026-10-25T01:00:00.000Z', '2026-10-25T02:00:00.000Z'],
    ],
    // A day without midnight begins at one o'clock; one whose last hour comes twice has 25.
    [
      'day',
      '2026-04-24T12:00:00.000Z',
      'Africa/Cairo',
      ['2026-04-23T22:00:00.000Z', '2026-04-24T21:00:00.000Z'],
    ],
    [
      'day',
      '2026-10-29T21:30:00.000Z',
      'Africa/Cairo',
      ['2026-10-28T21:00:00.000Z', '2026-10-29T22:00:00.000Z'],
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
      'Africa/Cairo', // clocks change at midnight
      'America/Havana',
      'Australia/Lord_Howe', // by half an hour
      'Asia/Kathmandu', // three quarters
    );
    fc.assert(
      fc.property(instants, windows, zones, (at, window, zone) => {
        const { start, end } = windowAt(window as 'day', at, zone);
        const next = windowAt(window as 'day', end, zone);
        return start <= at && at < end && next.start === end;
      }),
      runs(5_000),
    );
  });
});

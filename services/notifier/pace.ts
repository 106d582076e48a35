/**
 * Channels that asked to be left alone: until then they get nothing, and for a minute one message a second, so that a
 * storm of held calls costs no refusal for each. Every process learns it anew.
 */
import type { Notice } from './vendor.ts';

export type Place = Pick<Notice, 'tenant' | 'channel'>;

/** What vendors take of one conversation for as long as it lasts (Slack says so; the others take more). */
const EVERY_MS = 1_000;
const SLOW_MS = 60_000;

export interface Pace {
  /** It takes nothing for this long. */
  readonly slowed: (place: Place, forMs: number) => void;
  readonly sent: (place: Place) => void;
  /** It took something within the last minute: it is slow, not broken. */
  readonly works: (place: Place) => boolean;
  /** Channels that get one message at a time, and whether it is time for one. */
  readonly slow: () => readonly { readonly place: Place; readonly isTime: boolean }[];
}

export function createPace(now: () => number): Pace {
  const slow = new Map<string, { readonly place: Place; until: number; nextAt: number }>();
  const sentAt = new Map<string, number>();
  const keyOf = ({ tenant, channel }: Place) => `${tenant}/${channel}`;
  return {
    slowed: ({ tenant, channel }, forMs) => {
      const place = { tenant, channel };
      const nextAt = now() + forMs;
      slow.set(keyOf(place), { place, until: nextAt + SLOW_MS, nextAt });
    },
    sent: (place) => {
      const key = keyOf(place);
      sentAt.set(key, now());
      const known = slow.get(key);
      if (known !== undefined) known.nextAt = Math.max(known.nextAt, now() + EVERY_MS);
    },
    works: (place) => now() - (sentAt.get(keyOf(place)) ?? -SLOW_MS) < SLOW_MS,
    slow: () => {
      for (const [key, { until }] of slow) if (until <= now()) slow.delete(key);
      return [...slow.values()].map(({ place, nextAt }) => ({ place, isTime: nextAt <= now() }));
    },
  };
}

/**
 * Whether this process's clock agrees with that of another: an expiry means nothing to a clock that is wrong. A reading
 * of the other clock is carried on by our monotonic time, so a clock that is set while we run is noticed at once.
 */
import { CLOCK_SKEW_MS } from '#contracts/call.ts';

/** What another clock showed at some moment between `from` and `to`, both by performance.now(). */
export interface ClockReading {
  /** Milliseconds UTC. */
  readonly theirs: number;
  readonly from: number;
  readonly to: number;
}

/** Milliseconds that our clock is ahead, negative where it is behind; 0 where the reading is too coarse to tell. */
export function clockOffMs(
  { theirs, from, to }: ClockReading,
  ours: number = Date.now(),
  monotonic: number = performance.now(),
): number {
  const [earliest, latest] = [theirs + monotonic - to, theirs + monotonic - from];
  if (ours > latest) return ours - latest;
  return ours < earliest ? ours - earliest : 0;
}

/** A difference that nothing may be decided by. */
export const clockIsOff = (offMs: number): boolean => Math.abs(offMs) > CLOCK_SKEW_MS;

/** What is wrong, for /readyz; empty when the clocks agree. @param whose the other clock */
export function clockFault(offMs: number, whose: string): string {
  if (!clockIsOff(offMs)) return '';
  const seconds = Math.round(Math.abs(offMs) / 1_000);
  return `this clock is ${seconds} s ${offMs > 0 ? 'ahead of' : 'behind'} ${whose}`;
}

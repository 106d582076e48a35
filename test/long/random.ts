// Random choices that cost nanoseconds and come again by their seed (xorshift, 32 bits), over pools that fast-check filled.

import fc from 'fast-check';

import { anyCall, anyCaveat } from '#test/support/random-capability.ts';

export interface Dice {
  /** 0 to `below` - 1. */
  readonly roll: (below: number) => number;
  readonly pick: <T>(from: readonly T[]) => T;
  /** None to `most` of them. */
  readonly some: <T>(from: readonly T[], most: number) => T[];
}

export function dice(seed: number): Dice {
  let state = seed | 1;
  const roll = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const pick = <T>(from: readonly T[]): T => from[roll(from.length)] as T; // pools are never empty
  return {
    roll,
    pick,
    some: (from, most) => Array.from({ length: roll(most + 1) }, () => pick(from)),
  };
}

const POOL = 20_000;

export const pools = (seed: number) => ({
  caveats: fc.sample(anyCaveat, { numRuns: POOL, seed }),
  calls: fc.sample(anyCall, { numRuns: POOL, seed }),
});

/** Wrong tries of one address within a minute, in memory: more than some of them, and the address is told to wait. */

const TRIES_PER_MINUTE = 20;
const ADDRESSES_MAX = 10_000;
const MINUTE_MS = 60_000;

/** A counter: each call is one wrong try of an address, and answers whether there were too many. */
export function wrongTries(now: () => number): (address: string) => boolean {
  const wrong = new Map<string, { readonly since: number; count: number }>();
  return (address) => {
    const at = now();
    const before = wrong.get(address);
    if (before !== undefined && at - before.since < MINUTE_MS) {
      before.count += 1;
      return before.count > TRIES_PER_MINUTE;
    }
    if (wrong.size >= ADDRESSES_MAX) wrong.clear();
    wrong.set(address, { since: at, count: 1 });
    return false;
  };
}

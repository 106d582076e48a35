/**
 * How many calls may wait for an answer: as many as were answered in the last half second. In a longer queue every call
 * is answered after its caller has gone, and the workers judge for nobody: with a fixed bound of 5,000, three times the
 * calls that could be judged left none in time (npm run bench -- overload).
 */
const WINDOW_MS = 500;
/** Room for a burst after silence. */
const WAITING_MIN = 1_000;

export interface Backlog {
  /** @param now by performance.now() */
  readonly limit: (now: number) => number;
  /** A worker answered a call. */
  readonly answered: () => void;
}

/** @param max whatever the workers achieve */
export function createBacklog(max: number): Backlog {
  let answers = 0;
  let since = 0;
  let limit = WAITING_MIN;
  return {
    limit: (now) => {
      const took = now - since;
      if (took >= WINDOW_MS) {
        limit = Math.max(WAITING_MIN, (answers * WINDOW_MS) / took);
        answers = 0;
        since = now;
      }
      return Math.min(max, limit);
    },
    answered: () => void (answers += 1),
  };
}

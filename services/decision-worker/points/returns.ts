/**
 * What goes back to budget counters. A tenant at its ceiling is refused often, and one stored message for each refusal
 * would take the disk from the records of everybody: what is owed to one counter goes back together.
 */
import { type Draw, type JournalEntry, TAKE_MS } from '#contracts/budget.ts';
import type { Logger } from '#host/log.ts';

/** A take as far as its return concerns. */
export interface Taken {
  readonly name: string;
  readonly counter: string;
  readonly units: number;
  /** By performance.now(). */
  readonly at: number;
}

export interface ReturnParts {
  readonly journal: string;
  readonly add: (counter: string, by: number, name: string) => Promise<number>;
  readonly write: (entry: Partial<JournalEntry>) => Promise<void>;
  readonly log: Logger;
}

export interface Returns {
  readonly opened: (take: Taken) => void;
  readonly put: (take: Taken, units: number) => void;
  readonly spent: (draws: readonly Draw[]) => void;
  readonly giveBack: (draws: readonly Draw[]) => void;
  /** The broker did not acknowledge it; whether it took place is not known. */
  readonly lost: (take: Taken) => void;
  /** Says in the journal that nothing is open, once that is so. @returns whether nothing is left to do */
  readonly rest: () => boolean;
  readonly settled: () => Promise<void>;
}

/** Tries of one message: the name makes them one, so that a lost acknowledgement does no harm. */
const TRIES = 5;

interface Open extends Taken {
  /** Units that are neither used nor given back. */
  units: number;
}

/**
 * A take that was not accounted for within TAKE_MS is left to budget-settler: it would give back what this process,
 * stopped for minutes and then continued, still believed to hold.
 */
export function createReturns({ journal, add, write, log }: ReturnParts): Returns {
  const open = new Map<string, Open>();
  /** Units owed by counter and take, and not on their way yet. */
  const owed = new Map<string, Map<string, number>>();
  const giving = new Set<Promise<void>>();
  let given = 0;
  let left = false;
  let said = true;

  const inBackground = (work: Promise<void>) => {
    const watched = work.finally(() => giving.delete(watched));
    giving.add(watched);
  };

  const close = (name: string, units: number) => {
    const take = open.get(name);
    if (take === undefined) return;
    take.units -= units;
    if (take.units <= 0) open.delete(name);
  };

  const surely = async (counter: string, by: number, name: string): Promise<void> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await add(counter, by, name);
        return;
      } catch (error) {
        if (attempt === TRIES) throw error;
      }
    }
  };

  const giveAll = async (counter: string) => {
    for (let of = owed.get(counter); of !== undefined && of.size > 0; of = owed.get(counter)) {
      owed.set(counter, new Map());
      given += 1;
      // Takes count from 1 as well; returns have names of their own by the leading zero.
      const name = `${journal}.0${given}`;
      const parts = [...of].map(([take, units]) => ({ take, units }));
      const sum = parts.reduce((all, { units }) => all + units, 0);
      try {
        // Known before it is done: else budget-settler could give the same back once more.
        await write({ returns: [{ counter, name, of: parts }] });
        await surely(counter, -sum, name);
        for (const { take, units } of parts) close(take, units);
      } catch (error) {
        left = true;
        log.warn({ err: error, units: sum }, 'a return to a budget is left to budget-settler');
      }
    }
    owed.delete(counter);
  };

  const owe = (counter: string, name: string, units: number) => {
    const take = open.get(name);
    if (take === undefined || units <= 0) return;
    if (performance.now() - take.at > TAKE_MS) {
      left = true;
      open.delete(name);
      return;
    }
    const before = owed.get(counter);
    if (before !== undefined) return void before.set(name, (before.get(name) ?? 0) + units);
    owed.set(counter, new Map([[name, units]]));
    inBackground(giveAll(counter));
  };

  const heal = async (take: Taken) => {
    try {
      await surely(take.counter, take.units, take.name);
      owe(take.counter, take.name, take.units);
    } catch (error) {
      left = true;
      log.warn({ err: error }, 'a take from a budget is left to budget-settler');
    }
  };

  return {
    opened: ({ name, counter, units, at }) => {
      said = false;
      open.set(name, { name, counter, units, at });
    },
    put: ({ counter, name }, units) => owe(counter, name, units),
    spent: (draws) => {
      for (const { take, units } of draws) close(take, units);
    },
    giveBack: (draws) => {
      for (const { counter, take, units } of draws) owe(counter, take, units);
    },
    lost: (take) => {
      inBackground(heal(take));
    },
    rest: () => {
      for (const [name, { at }] of open) {
        if (performance.now() - at <= 2 * TAKE_MS) continue;
        left = true;
        open.delete(name);
      }
      if (open.size > 0 || giving.size > 0) return false;
      if (said || left) return true;
      said = true;
      write({ clear: true }).catch(() => (said = false));
      return false;
    },
    settled: async () => {
      while (giving.size > 0) await Promise.all(giving);
      if (open.size === 0 && !left && !said) await write({ clear: true }).catch(() => undefined);
    },
  };
}

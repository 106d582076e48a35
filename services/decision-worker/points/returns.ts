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
export class Returns {
  readonly #parts: ReturnParts;
  readonly #open = new Map<string, Open>();
  /** Units owed by counter and take, and not on their way yet. */
  readonly #owed = new Map<string, Map<string, number>>();
  readonly #giving = new Set<Promise<void>>();
  #given = 0;
  /** Something is left to budget-settler: this process never again says that nothing is open. */
  #left = false;
  #saidClear = true;

  constructor(parts: ReturnParts) {
    this.#parts = parts;
  }

  opened({ name, counter, units, at }: Taken): void {
    this.#saidClear = false;
    this.#open.set(name, { name, counter, units, at });
  }

  put({ counter, name }: Taken, units: number): void {
    this.#owe(counter, name, units);
  }

  spent(draws: readonly Draw[]): void {
    for (const { take, units } of draws) this.#close(take, units);
  }

  giveBack(draws: readonly Draw[]): void {
    for (const { counter, take, units } of draws) this.#owe(counter, take, units);
  }

  /** The broker did not acknowledge it; whether it took place is not known. */
  lost(take: Taken): void {
    this.#inBackground(this.#heal(take));
  }

  /** Says in the journal that nothing is open, once that is so. @returns whether nothing is left to do */
  rest(): boolean {
    for (const [name, { at }] of this.#open) {
      if (performance.now() - at <= 2 * TAKE_MS) continue;
      this.#left = true;
      this.#open.delete(name);
    }
    if (this.#open.size > 0 || this.#giving.size > 0) return false;
    if (this.#saidClear || this.#left) return true;
    this.#saidClear = true;
    this.#parts.write({ clear: true }).catch(() => (this.#saidClear = false));
    return false;
  }

  async settled(): Promise<void> {
    while (this.#giving.size > 0) await Promise.all(this.#giving);
    if (this.#open.size > 0 || this.#left || this.#saidClear) return;
    this.#saidClear = true;
    await this.#parts.write({ clear: true }).catch(() => (this.#saidClear = false));
  }

  #inBackground(work: Promise<void>): void {
    const watched = work.finally(() => this.#giving.delete(watched));
    this.#giving.add(watched);
  }

  #close(name: string, units: number): void {
    const take = this.#open.get(name);
    if (take === undefined) return;
    take.units -= units;
    if (take.units <= 0) this.#open.delete(name);
  }

  #owe(counter: string, name: string, units: number): void {
    const take = this.#open.get(name);
    if (take === undefined || units <= 0) return;
    if (performance.now() - take.at > TAKE_MS) {
      this.#left = true;
      this.#open.delete(name);
      return;
    }
    const before = this.#owed.get(counter);
    if (before !== undefined) return void before.set(name, (before.get(name) ?? 0) + units);
    this.#owed.set(counter, new Map([[name, units]]));
    this.#inBackground(this.#giveAll(counter));
  }

  async #giveAll(counter: string): Promise<void> {
    const owed = this.#owed;
    for (let of = owed.get(counter); of !== undefined && of.size > 0; of = owed.get(counter)) {
      owed.set(counter, new Map());
      await this.#give(
        counter,
        [...of].map(([take, units]) => ({ take, units })),
      );
    }
    owed.delete(counter);
  }

  async #give(
    counter: string,
    of: readonly { readonly take: string; readonly units: number }[],
  ): Promise<void> {
    const { journal, write, log } = this.#parts;
    this.#given += 1;
    // Takes count from 1 as well; returns have names of their own by the leading zero.
    const name = `${journal}.0${this.#given}`;
    const sum = of.reduce((all, { units }) => all + units, 0);
    try {
      // Known before it is done: else budget-settler could give the same back once more.
      await write({ returns: [{ counter, name, of: [...of] }] });
      await this.#surely(counter, -sum, name);
      for (const { take, units } of of) this.#close(take, units);
    } catch (error) {
      this.#left = true;
      log.warn({ err: error, units: sum }, 'a return to a budget is left to budget-settler');
    }
  }

  async #heal(take: Taken): Promise<void> {
    try {
      await this.#surely(take.counter, take.units, take.name);
      this.#owe(take.counter, take.name, take.units);
    } catch (error) {
      this.#left = true;
      this.#parts.log.warn({ err: error }, 'a take from a budget is left to budget-settler');
    }
  }

  async #surely(counter: string, by: number, name: string): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#parts.add(counter, by, name);
        return;
      } catch (error) {
        if (attempt === TRIES) throw error;
      }
    }
  }
}

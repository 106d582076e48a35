/**
 * Budget counters at the broker (ADR-49): add, and learn the value after it. What calls want of one counter while an
 * earlier take is in flight is taken together, and they fit in their order up to the limit; the rest goes back. A
 * counter that is drawn on often gets some more at once, at most a 256th of what is left, for the calls to come.
 */
import { randomUUID } from 'node:crypto';

import { type Draw, type JournalEntry, SPARE_MS } from '#contracts/budget.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { Logger } from '#host/log.ts';
import { type Bus, newHeaders } from '#host/nats.ts';

import { Returns } from './returns.ts';

/** What a call wants of a counter. */
export interface Wanted {
  readonly counter: string;
  /** At least 1, at most `limit`. */
  readonly units: number;
  readonly limit: number;
}

/** `used` counts this call's units too where they fit. */
export type Drawn =
  | { readonly fits: true; readonly used: number; readonly draw: Draw }
  | { readonly fits: false; readonly used: number };

export interface Counters {
  /** Rejects when the broker did not acknowledge. Whoever gets a draw MUST end it by `spent` or `giveBack`. */
  readonly draw: (wanted: Wanted) => Promise<Drawn>;
  /** The call that drew is recorded. */
  readonly spent: (draws: readonly Draw[]) => void;
  /** The call that drew does not run, and its record says nothing else. In the background. */
  readonly giveBack: (draws: readonly Draw[]) => void;
  /** The value of a counter now, 0 for one that nobody drew on. */
  readonly peek: (counter: string) => Promise<number>;
  /** Gives back what is at hand, and resolves when everything that was to be given back is, or is lost. */
  readonly settled: () => Promise<void>;
}

const TIMEOUT_MS = 2_000;
/** A take that follows the one before this soon is larger. */
const HUNGRY_MS = 250;
const SPARE_CALLS_MAX = 64;
/** With so many workers times a few, spares together stay a small part of what is left. */
const SPARE_PART = 256;
const SWEEP_MS = 500;

interface Waiting extends Wanted {
  readonly resolve: (drawn: Drawn) => void;
  readonly reject: (error: unknown) => void;
}

interface Take {
  readonly name: string;
  readonly counter: string;
  readonly units: number;
  readonly group: readonly Waiting[];
  /** By performance.now(). */
  readonly at: number;
}

/** Units at hand. `used` is where the counter stood before the next of them. */
interface Spare {
  readonly take: Take;
  left: number;
  used: number;
}

interface Account {
  waiting: Waiting[];
  inFlight: boolean;
  spare: Spare | undefined;
  /** The counter after the last take, NaN before the first. */
  known: number;
  takenAt: number;
  /** How many calls to take for beyond those that wait. */
  ahead: number;
}

export function createCounters(bus: Bus, log: Logger): Counters {
  const journal = randomUUID();
  const add = adder(bus);
  const write = journalWriter(bus, journal);
  const returns = new Returns({ journal, add, write, log });
  const accounts = new Accounts({ journal, add, write, returns });
  return {
    draw: (wanted) => accounts.draw(wanted),
    spent: (draws) => returns.spent(draws),
    giveBack: (draws) => returns.giveBack(draws),
    peek: (counter) => valueOf(bus, counter),
    settled: async () => {
      accounts.close();
      await returns.settled();
    },
  };
}

/** The counter after adding, NaN when it had an addition of this name before. */
type Add = (counter: string, by: number, name: string) => Promise<number>;
type Write = (entry: Partial<JournalEntry>) => Promise<void>;

function adder(bus: Bus): Add {
  return async (counter, by, name) => {
    const headers = newHeaders();
    headers.set('Nats-Incr', by >= 0 ? `+${by}` : String(by));
    // No expected-stream header: the server refuses every condition on an increment (ADR-49).
    const options = { headers, msgID: name, timeout: TIMEOUT_MS, retries: 1 };
    const ack = await bus.whileConnected(bus.js.publish(counter, '', options));
    // A decimal string of any size, absent on a duplicate; beyond 2^53 no ceiling of ours applies.
    return Number((ack as { val?: string }).val ?? Number.NaN);
  };
}

function journalWriter(bus: Bus, journal: string): Write {
  return async (entry) => {
    const body = JSON.stringify({ v: 1, takes: [], returns: [], clear: false, ...entry });
    const options = { timeout: TIMEOUT_MS, retries: 1 };
    await bus.whileConnected(bus.js.publish(SUBJECTS.journal(journal), body, options));
  };
}

/** What this process has of each counter that it drew on lately. */
class Accounts {
  readonly #journal: string;
  readonly #add: Add;
  readonly #write: Write;
  readonly #returns: Returns;
  readonly #accounts = new Map<string, Account>();
  #hungry = new Set<string>();
  #takes = 0;
  #sweeping: NodeJS.Timeout | undefined;

  constructor(parts: {
    readonly journal: string;
    readonly add: Add;
    readonly write: Write;
    readonly returns: Returns;
  }) {
    this.#journal = parts.journal;
    this.#add = parts.add;
    this.#write = parts.write;
    this.#returns = parts.returns;
  }

  draw(wanted: Wanted): Promise<Drawn> {
    const account = this.#accountOf(wanted.counter);
    const drawn = account.waiting.length === 0 ? fromSpare(account.spare, wanted) : undefined;
    if (drawn !== undefined) return Promise.resolve(drawn);
    return new Promise((resolve, reject) => {
      account.waiting.push({ ...wanted, resolve, reject });
      if (!account.inFlight) this.#wake(wanted.counter);
    });
  }

  /** Gives back what is at hand. */
  close(): void {
    clearInterval(this.#sweeping);
    this.#sweeping = undefined;
    for (const account of this.#accounts.values()) this.#putBackSpare(account);
  }

  #accountOf(counter: string): Account {
    let account = this.#accounts.get(counter);
    if (account === undefined) {
      account = {
        waiting: [],
        inFlight: false,
        spare: undefined,
        known: Number.NaN,
        takenAt: Number.NEGATIVE_INFINITY,
        ahead: 0,
      };
      this.#accounts.set(counter, account);
    }
    this.#sweeping ??= setInterval(() => this.#sweep(), SWEEP_MS);
    return account;
  }

  #wake(counter: string): void {
    // Counters of one turn share a message of the journal.
    if (this.#hungry.size === 0) setImmediate(() => this.#takeAll());
    this.#hungry.add(counter);
  }

  #takeAll(): void {
    const takes: Take[] = [];
    for (const counter of this.#hungry) {
      const account = this.#accounts.get(counter);
      if (account === undefined || account.inFlight || account.waiting.length === 0) continue;
      takes.push(this.#open(counter, account));
    }
    this.#hungry = new Set();
    if (takes.length === 0) return;
    // First in the journal, then at the counters: one connection keeps the order, and a crash cuts only the end.
    const noted = this.#write({
      takes: takes.map(({ counter, name, units }) => ({ counter, name, units })),
    });
    noted.catch(() => undefined); // awaited by each take
    for (const take of takes) void this.#run(take, noted);
  }

  #open(counter: string, account: Account): Take {
    const at = performance.now();
    this.#putBackSpare(account);
    const group = account.waiting;
    account.waiting = [];
    account.inFlight = true;
    account.ahead =
      at - account.takenAt > HUNGRY_MS
        ? 0
        : Math.min(SPARE_CALLS_MAX, Math.max(1, account.ahead * 2));
    account.takenAt = at;
    const units = group.reduce((sum, wanted) => sum + wanted.units, extraOf(group[0], account));
    this.#takes += 1;
    const take = { name: `${this.#journal}.${this.#takes}`, counter, units, group, at };
    this.#returns.opened(take);
    return take;
  }

  async #run(take: Take, noted: Promise<void>): Promise<void> {
    const account = this.#accountOf(take.counter);
    try {
      const [after] = await Promise.all([this.#add(take.counter, take.units, take.name), noted]);
      if (!Number.isSafeInteger(after)) throw new Error('the counter gave no value');
      account.known = after;
      account.spare = share(take, after, (units) => this.#returns.put(take, units));
    } catch (error) {
      for (const { reject } of take.group) reject(error);
      this.#returns.lost(take);
    }
    account.inFlight = false;
    account.waiting = account.waiting.filter((wanted) => {
      const drawn = fromSpare(account.spare, wanted);
      if (drawn !== undefined) wanted.resolve(drawn);
      return drawn === undefined;
    });
    if (account.waiting.length > 0) this.#wake(take.counter);
  }

  #putBackSpare(account: Account): void {
    const { spare } = account;
    if (spare === undefined) return;
    account.spare = undefined;
    this.#returns.put(spare.take, spare.left);
  }

  /** Old spares go back; counters of windows that are over are forgotten. */
  #sweep(): void {
    const now = performance.now();
    for (const [counter, account] of this.#accounts) {
      const { spare, waiting, inFlight } = account;
      if (spare !== undefined && now - spare.take.at > SPARE_MS) {
        this.#putBackSpare(account);
        account.ahead = 0;
      }
      const idle = !inFlight && account.spare === undefined && waiting.length === 0;
      if (idle && now - account.takenAt > 2 * SPARE_MS) this.#accounts.delete(counter);
    }
    if (this.#accounts.size > 0 || !this.#returns.rest()) return;
    clearInterval(this.#sweeping);
    this.#sweeping = undefined;
  }
}

/** Nothing before the value is known, and nothing near the limit: there each unit goes to whoever comes first. */
function extraOf(
  first: Wanted | undefined,
  { ahead, known }: { readonly ahead: number; readonly known: number },
): number {
  if (first === undefined || ahead === 0 || !(known < first.limit)) return 0;
  const calls = Math.floor((first.limit - known) / (SPARE_PART * first.units));
  return first.units * Math.min(ahead, calls);
}

/** Fits who waited, in order, and puts back what nobody may use. @returns what is left for the calls to come */
function share(take: Take, after: number, putBack: (units: number) => void): Spare | undefined {
  let used = after - take.units;
  let left = take.units;
  for (const { units, limit, resolve } of take.group) {
    const fits = used + units <= limit;
    if (fits) {
      used += units;
      left -= units;
      resolve({ fits, used, draw: { counter: take.counter, take: take.name, units } });
    } else {
      resolve({ fits, used });
    }
  }
  if (left > 0 && after <= (take.group[0]?.limit ?? 0)) return { take, left, used };
  putBack(left);
  return undefined;
}

function fromSpare(spare: Spare | undefined, { units, limit }: Wanted): Drawn | undefined {
  if (spare === undefined || spare.left < units || spare.used + units > limit) return undefined;
  if (performance.now() - spare.take.at > SPARE_MS) return undefined;
  spare.left -= units;
  spare.used += units;
  const { counter, name } = spare.take;
  return { fits: true, used: spare.used, draw: { counter, take: name, units } };
}

async function valueOf(bus: Bus, counter: string): Promise<number> {
  const stream = `COUNT_${(counter.split('.')[2] ?? '').toUpperCase()}`;
  const message = await bus.jsm.direct.getMessage(stream, { last_by_subj: counter });
  return message === null ? 0 : Number(message.json<{ val: string }>().val);
}

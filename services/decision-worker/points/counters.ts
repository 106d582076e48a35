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

import { createReturns } from './returns.ts';

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
  const accounts = new Map<string, Account>();
  let hungry = new Set<string>();
  let takes = 0;
  let sweeping: NodeJS.Timeout | undefined;

  /** The counter after adding, NaN when it had this name before. @param name MUST be new for each addition */
  const add = async (counter: string, by: number, name: string): Promise<number> => {
    const headers = newHeaders();
    headers.set('Nats-Incr', by >= 0 ? `+${by}` : String(by));
    // No expected-stream header: the server refuses every condition on an increment (ADR-49).
    const adding = bus.js.publish(counter, '', {
      headers,
      msgID: name,
      timeout: TIMEOUT_MS,
      retries: 1,
    });
    const ack = await bus.whileConnected(adding);
    // A decimal string of any size, absent on a duplicate; beyond 2^53 no ceiling of ours applies.
    return Number((ack as { val?: string }).val ?? Number.NaN);
  };
  const write = async (entry: Partial<JournalEntry>): Promise<void> => {
    const body = JSON.stringify({ v: 1, takes: [], returns: [], clear: false, ...entry });
    const writing = bus.js.publish(SUBJECTS.journal(journal), body, {
      timeout: TIMEOUT_MS,
      retries: 1,
    });
    await bus.whileConnected(writing);
  };
  const returns = createReturns({ journal, add, write, log });

  const accountOf = (counter: string): Account => {
    let account = accounts.get(counter);
    if (account === undefined) {
      account = {
        waiting: [],
        inFlight: false,
        spare: undefined,
        known: Number.NaN,
        takenAt: Number.NEGATIVE_INFINITY,
        ahead: 0,
      };
      accounts.set(counter, account);
    }
    sweeping ??= setInterval(sweep, SWEEP_MS);
    return account;
  };

  const wake = (counter: string) => {
    if (hungry.size === 0) setImmediate(takeAll); // counters of one turn share a message of the journal
    hungry.add(counter);
  };

  const takeAll = () => {
    const opened: Take[] = [];
    for (const counter of hungry) {
      const account = accounts.get(counter);
      if (account === undefined || account.inFlight || account.waiting.length === 0) continue;
      opened.push(open(counter, account));
    }
    hungry = new Set();
    if (opened.length === 0) return;
    // First in the journal, then at the counters: one connection keeps the order, and a crash cuts only the end.
    const noted = write({
      takes: opened.map(({ counter, name, units }) => ({ counter, name, units })),
    });
    noted.catch(() => undefined); // awaited by each take
    for (const take of opened) void run(take, noted);
  };

  const open = (counter: string, account: Account): Take => {
    const at = performance.now();
    if (account.spare !== undefined) returns.put(account.spare.take, account.spare.left);
    const group = account.waiting;
    account.ahead =
      at - account.takenAt > HUNGRY_MS
        ? 0
        : Math.min(SPARE_CALLS_MAX, Math.max(1, account.ahead * 2));
    const units =
      group.reduce((sum, { units: each }) => sum + each, 0) +
      extraOf(group[0], { ahead: account.ahead, known: account.known });
    account.waiting = [];
    account.spare = undefined;
    account.inFlight = true;
    account.takenAt = at;
    takes += 1;
    const take = { name: `${journal}.${takes}`, counter, units, group, at };
    returns.opened(take);
    return take;
  };

  const run = async (take: Take, noted: Promise<void>) => {
    const account = accountOf(take.counter);
    try {
      const [after] = await Promise.all([add(take.counter, take.units, take.name), noted]);
      if (!Number.isSafeInteger(after)) throw new Error('the counter gave no value');
      account.known = after;
      account.spare = share(take, after, returns.put);
    } catch (error) {
      for (const { reject } of take.group) reject(error);
      returns.lost(take);
    }
    account.inFlight = false;
    account.waiting = account.waiting.filter((wanted) => {
      const drawn = fromSpare(account.spare, wanted);
      if (drawn !== undefined) wanted.resolve(drawn);
      return drawn === undefined;
    });
    if (account.waiting.length > 0) wake(take.counter);
  };

  /** Old spares go back; counters of windows that are over are forgotten. */
  const sweep = () => {
    const now = performance.now();
    for (const [counter, account] of accounts) {
      const { spare } = account;
      if (spare !== undefined && now - spare.take.at > SPARE_MS) {
        returns.put(spare.take, spare.left);
        account.spare = undefined;
        account.ahead = 0;
      }
      const idle = !account.inFlight && account.spare === undefined && account.waiting.length === 0;
      if (idle && now - account.takenAt > 2 * SPARE_MS) accounts.delete(counter);
    }
    if (accounts.size > 0 || !returns.rest()) return;
    clearInterval(sweeping);
    sweeping = undefined;
  };

  return {
    draw: (wanted) => {
      const account = accountOf(wanted.counter);
      const drawn = account.waiting.length === 0 ? fromSpare(account.spare, wanted) : undefined;
      if (drawn !== undefined) return Promise.resolve(drawn);
      return new Promise((resolve, reject) => {
        account.waiting.push({ ...wanted, resolve, reject });
        if (!account.inFlight) wake(wanted.counter);
      });
    },
    spent: returns.spent,
    giveBack: returns.giveBack,
    peek: (counter) => valueOf(bus, counter),
    settled: async () => {
      clearInterval(sweeping);
      sweeping = undefined;
      for (const account of accounts.values()) {
        if (account.spare !== undefined) returns.put(account.spare.take, account.spare.left);
        account.spare = undefined;
      }
      await returns.settled();
    },
  };
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
function share(
  take: Take,
  after: number,
  putBack: (take: Take, units: number) => void,
): Spare | undefined {
  let used = after - take.units;
  let left = take.units;
  let allFit = true;
  for (const { units, limit, resolve } of take.group) {
    const fits = used + units <= limit;
    if (fits) {
      used += units;
      left -= units;
      resolve({ fits, used, draw: { counter: take.counter, take: take.name, units } });
    } else {
      allFit = false;
      resolve({ fits, used });
    }
  }
  if (left > 0 && allFit && after <= (take.group[0]?.limit ?? 0)) return { take, left, used };
  putBack(take, left);
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

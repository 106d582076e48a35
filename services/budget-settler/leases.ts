/**
 * Gives back what a worker took from counters and never accounted for: it was killed, or lost the broker. A journal that
 * was silent for SILENT_MS is compared with the recorded decisions; what neither is used nor came back goes back now.
 * Never too much: whatever cannot be told for sure stays taken. Any number of settlers may run: whoever removes the
 * journal settles it.
 */
import {
  type JournalEntry,
  readJournalEntry,
  SILENT_MS,
  TAKE_KNOWN_MS,
  TAKE_MS,
} from '#contracts/budget.ts';
import type { MacKeys } from '#contracts/mac.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { Logger } from '#host/log.ts';
import type { Bus } from '#host/nats.ts';
import { readBack } from '#host/read-back.ts';

import type { AddOnce } from './counters.ts';
import { readDrawings, Trimmed } from './draws.ts';

export interface LeaseParts {
  readonly bus: Bus;
  readonly keys: MacKeys;
  readonly add: AddOnce;
  readonly log: Logger;
  readonly onGivenBack: (units: number) => void;
  /** Milliseconds UTC by the broker, which stamps journals. */
  readonly now: () => number;
  /** SILENT_MS, shorter in tests. */
  readonly silentMs?: number;
}

/** Decisions are stored by another stream, so its times may differ by a little. */
const MARGIN_MS = 2_000;
const AT_ONCE = 512;

interface Taken {
  readonly counter: string;
  readonly at: number;
  left: number;
}

interface Journal {
  readonly takes: ReadonlyMap<string, Taken>;
  readonly returns: readonly (JournalEntry['returns'][number] & { readonly at: number })[];
}

/** Looks at every journal once. */
export async function settleLeases(parts: LeaseParts): Promise<void> {
  const { bus, now, silentMs = SILENT_MS, log } = parts;
  const filter = SUBJECTS.journals;
  const { state } = await bus.jsm.streams.info('JOURNAL', { subjects_filter: filter });
  for (const subject of Object.keys(state.subjects ?? {})) {
    const last = await bus.jsm.direct.getMessage('JOURNAL', { last_by_subj: subject });
    if (last === null || now() - last.time.getTime() < silentMs) continue;
    const at = { subject, lastAt: last.time.getTime(), lastSequence: last.seq };
    if (readJournalEntry(last.string())?.clear === true) await remove(bus, at);
    else await settle(parts, at).catch((err: unknown) => log.warn({ err }, 'not settled yet'));
  }
}

async function settle(
  parts: LeaseParts,
  at: { readonly subject: string; readonly lastAt: number; readonly lastSequence: number },
): Promise<void> {
  const { bus, keys, log } = parts;
  const since = at.lastAt - TAKE_MS;
  const journal = await readJournal(bus, { subject: at.subject, since });
  try {
    for await (const { draws } of readDrawings(bus, keys, { since: since - MARGIN_MS })) {
      for (const { take, units } of draws) lower(journal, take, units);
    }
  } catch (error) {
    if (!(error instanceof Trimmed)) throw error;
    if (await remove(bus, at))
      log.warn('a journal is older than the decisions; its takes stay taken');
    return;
  }
  for (const { of } of journal.returns) {
    for (const { take, units } of of) lower(journal, take, units);
  }
  // From here on nobody else settles it, and a crash leaves the rest taken.
  if (await remove(bus, at)) await giveBack(parts, journal);
}

async function giveBack(
  { add, log, now, onGivenBack }: LeaseParts,
  journal: Journal,
): Promise<void> {
  const isKnown = (at: number) => now() - at < TAKE_KNOWN_MS - TAKE_MS;
  for (const { counter, name, of, at } of journal.returns) {
    const units = of.reduce((sum, part) => sum + part.units, 0);
    if (isKnown(at)) await add(counter, -units, name);
  }
  let all = 0;
  for (const [name, { counter, at, left }] of journal.takes) {
    if (left <= 0 || !isKnown(at)) continue;
    // Adding nothing under its name: known = it did take place; else it never will any more.
    if (!(await add(counter, 0, name))) continue;
    await add(counter, -left, `${name}.left`);
    all += left;
  }
  onGivenBack(all);
  if (all > 0) log.info({ units: all }, 'given back for a worker that ended');
}

function lower({ takes }: Journal, name: string, units: number): void {
  const take = takes.get(name);
  if (take !== undefined) take.left -= units;
}

async function readJournal(
  bus: Bus,
  { subject, since }: { readonly subject: string; readonly since: number },
): Promise<Journal> {
  const takes = new Map<string, Taken>();
  const returns: Journal['returns'][number][] = [];
  for await (const { body, storedAt } of readBack(bus, 'JOURNAL', {
    subject,
    since,
    atOnce: AT_ONCE,
  })) {
    const entry = readJournalEntry(Buffer.from(body).toString('utf8'));
    for (const { counter, name, units } of entry?.takes ?? [])
      takes.set(name, { counter, at: storedAt, left: units });
    for (const given of entry?.returns ?? []) returns.push({ ...given, at: storedAt });
  }
  return { takes, returns };
}

/** True for exactly one of those who try. */
async function remove(
  bus: Bus,
  { subject, lastSequence }: { readonly subject: string; readonly lastSequence: number },
): Promise<boolean> {
  const purge = { filter: subject, seq: lastSequence + 1 };
  return (await bus.jsm.streams.purge('JOURNAL', purge)).purged > 0;
}

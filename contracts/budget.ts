/**
 * What is taken from budget counters, and how it is given back when nobody else can: each worker writes down what it
 * takes and gives back (the journal), a decision's evidence names what it used, and budget-settler compares the two.
 */
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';

import type { Budgets } from './ceilings.ts';

/**
 * A worker takes units for several calls at once, and keeps what it did not need at hand for the next ones for so long.
 * What it does with a take at all (use it, give it back) it does within TAKE_MS.
 */
export const SPARE_MS = 1_000;
export const TAKE_MS = 30_000;
/** What a worker took and never accounted for is given back within LEASE_MS, once its journal was silent for SILENT_MS. */
export const LEASE_MS = 60_000;
export const SILENT_MS = LEASE_MS - 15_000;
/** A counter knows the names of takes and of what was given back for so long; after it nothing is given back. */
export const TAKE_KNOWN_MS = 180_000;

/** One budget that this decision drew on. */
export const BudgetShare = Type.Object({
  scope: Type.String(),
  window: Type.String(),
  unit: Type.Optional(
    Type.Unsafe<'cost' | 'amount'>({
      type: 'string',
      enum: ['cost', 'amount'],
      description: 'limit and used are millionths of it; without it they are calls.',
    }),
  ),
  limit: Type.Integer(),
  used: Type.Integer(),
  resets_at: Type.String({ description: 'RFC 3339' }),
});
export type BudgetShare = Static<typeof BudgetShare>;

/** What one call used of one take. `take` is `<journal>.<number>`; units are calls, or millionths. */
export interface Draw {
  readonly counter: string;
  readonly take: string;
  readonly units: number;
}

const closed = { additionalProperties: false } as const;
const Name = Type.String({ pattern: '^[0-9a-f-]{36}\\.[0-9]{1,15}$' });
const Units = Type.Integer({ minimum: 0 });
const Counter = Type.String({ pattern: '^v1\\.count\\.[!-~]{1,240}$' });

/** One message of a worker's journal, stored before what it says is done. */
export const JournalEntry = Type.Object(
  {
    v: Type.Literal(1),
    takes: Type.Array(Type.Object({ counter: Counter, name: Name, units: Units }, closed)),
    returns: Type.Array(
      Type.Object(
        {
          counter: Counter,
          name: Name,
          of: Type.Array(Type.Object({ take: Name, units: Units }, closed)),
        },
        closed,
      ),
    ),
    /** Everything taken before is used or given back. */
    clear: Type.Boolean(),
  },
  closed,
);
export type JournalEntry = Static<typeof JournalEntry>;

const entryCheck = Compile(JournalEntry);
const drawsCheck = Compile(
  Type.Array(Type.Object({ counter: Counter, take: Name, units: Units }, closed)),
);

/** The entry in a message of a journal, undefined for anything else. */
export function readJournalEntry(body: string): JournalEntry | undefined {
  const value = parse(body);
  return entryCheck.Check(value) ? value : undefined;
}

/** The draws in section `evidence` of a decision's payload; none where it drew on no counter. */
export function readDraws(payload: string): readonly Draw[] {
  const value = parse(payload) as { sections?: { evidence?: { draws?: unknown } } } | undefined;
  const draws = value?.sections?.evidence?.draws;
  return drawsCheck.Check(draws) ? draws : [];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // not JSON
  }
}

/** Micro-units of an amount; what is finer than a millionth counts as one. */
export function microUnits(amount: number): number {
  const nearest = Math.round(amount * 1e6);
  return nearest / 1e6 >= amount ? nearest : nearest + 1;
}

/** What is wrong with budgets beyond their shape, with its place; undefined when nothing is. */
export function budgetsFault({ ceilings, runaway = [] }: Budgets):
  | {
      readonly code: 'budgets.ceiling' | 'budgets.runaway';
      readonly path: string;
      readonly detail: string;
    }
  | undefined {
  for (const [index, { scope, agent, calls, cost }] of ceilings.entries()) {
    const at = { code: 'budgets.ceiling', path: `/ceilings/${index}` } as const;
    if (calls === undefined && cost === undefined)
      return { ...at, detail: 'A ceiling limits calls, cost, or both.' };
    if (agent !== undefined && scope !== 'agent')
      return { ...at, detail: 'Only a ceiling of scope agent may name an agent.' };
  }
  const classes = new Set<string>();
  for (const [index, { class: name, repeats, times_habit: timesHabit }] of runaway.entries()) {
    const at = { code: 'budgets.runaway', path: `/runaway/${index}` } as const;
    if (repeats === undefined && timesHabit === undefined)
      return { ...at, detail: 'A rule limits repeats, times_habit, or both.' };
    if (classes.has(name)) return { ...at, detail: 'This class has a rule before it.' };
    classes.add(name);
  }
  return undefined;
}

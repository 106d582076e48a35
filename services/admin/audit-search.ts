/**
 * Finds rows of the chain by what they are about. One condition leads, by an index in the order of the page; the others
 * are tested on the rows that it leads to, some thousands at a time and only for a moment, so that a page costs the same
 * whatever is asked and however long the chain is. What was not looked at by then the next page goes on with.
 */
import { type RawBuilder, sql, type Transaction } from 'kysely';

import type { Place } from './audit-query.ts';
import type { AuditTables } from './audit-reads.ts';

/** Conditions; all have to hold. */
export interface Wanted {
  /** `control` and `approval` mean every kind that begins so. */
  readonly kind?: string;
  readonly verdict?: string;
  readonly agent?: string;
  /** As the record names it: a pseudonym, or the id of an operator. */
  readonly person?: string;
  readonly tool?: string;
  readonly upstream?: string;
  readonly reason?: string;
  readonly mode?: string;
  readonly approval?: string;
  /** A decision and what is about it. */
  readonly decisionId?: string;
  /** Milliseconds UTC, the first that fits. */
  readonly since?: number;
  /** Milliseconds UTC, the first that no longer fits. */
  readonly until?: number;
  /** The first sequence that no longer fits. */
  readonly before?: number;
}

export interface Found {
  /** In the order of the page. */
  readonly sequences: readonly number[];
  /** Where the next page begins; undefined = there is nothing more. */
  readonly next: Place | undefined;
}

/** Rows that one statement looks at: few at first, for a page that is full at once. */
const PORTION_MIN = 250;
const PORTION_MAX = 4_000;
/** How long a page looks for rows before it is answered with those that it has. */
const LOOK_MS_MAX = 10;
/** Rows about one decision. */
const ABOUT_MAX = 1_000;

/** Columns with an index of their own, what leads to fewest rows first, and the values that no index holds. */
const LEADS = [
  ['approval', []],
  ['person', []],
  ['reason', ['policy.allowed', 'executed']],
  ['verdict', ['allow']],
  ['mode', ['enforce']],
  ['agent', []],
  ['tool', []],
] as const satisfies (readonly [keyof Wanted, readonly string[]])[];
const COLUMNS = [...LEADS.map(([column]) => column), 'upstream'] as const;

type Condition = RawBuilder<unknown>;
/** What conditions are about, beside time and sequence. */
const TERMS: Condition = sql.join([...COLUMNS, 'kind'].map((column) => sql.ref(column)));

/** At most `limit` rows from a place on. The transaction MUST have named its tenant. */
export async function searchRows(
  tx: Transaction<AuditTables>,
  search: {
    readonly tenant: string;
    readonly wanted: Wanted;
    readonly from: Place;
    readonly limit: number;
  },
): Promise<Found> {
  const { tenant, wanted, from, limit } = search;
  const { decisionId } = wanted;
  const lead =
    decisionId === undefined
      ? leadOf(wanted, from)
      : sql`sequence = any(${await sequencesAbout(tx, tenant, decisionId)})`;
  const byChain = from.order === 'oldest' || decisionId !== undefined;
  const look = { tenant, lead, byChain, rest: conditionsOf(wanted) };
  const deadline = performance.now() + LOOK_MS_MAX;
  const spots: Spot[] = [];
  let next: Place | undefined = from;
  // One more than the page holds says whether there is another.
  for (let portion = PORTION_MIN; next !== undefined && spots.length <= limit;) {
    const began = performance.now();
    const looked: Looked = await lookAt(tx, {
      ...look,
      from: next,
      portion,
      limit: limit + 1 - spots.length,
    });
    spots.push(...looked.spots);
    next = looked.next;
    const now = performance.now();
    if (now > deadline) break;
    // What fits into the rest of the time as fast as the last one went: rows of one agent stand far apart.
    const fits = Math.floor((portion * (deadline - now)) / (now - began));
    portion = Math.max(PORTION_MIN, Math.min(fits, PORTION_MAX));
  }
  const last = spots[limit - 1];
  return {
    sequences: spots.slice(0, limit).map(({ sequence }) => sequence),
    next: spots.length > limit && last !== undefined ? { ...from, ...last } : next,
  };
}

interface Looked {
  readonly spots: readonly Spot[];
  readonly next: Place | undefined;
}

/** One statement. The leading rows are fenced off, so that no plan looks at more of them than a portion. */
async function lookAt(
  tx: Transaction<AuditTables>,
  look: {
    readonly tenant: string;
    readonly lead: Condition;
    /** By rows of the chain: an index over what rows are found by has no order of theirs. */
    readonly byChain: boolean;
    readonly rest: Condition;
    readonly from: Place;
    readonly portion: number;
    readonly limit: number;
  },
): Promise<Looked> {
  const { tenant, lead, byChain, rest, from, portion, limit } = look;
  const forward = from.order === 'oldest';
  const order = forward ? sql`sequence asc` : sql`at desc, sequence desc`;
  const back = forward ? sql`sequence desc` : sql`at asc, sequence asc`;
  const behind = forward
    ? sql`sequence > ${from.sequence}`
    : sql`(at, sequence) < (${from.at}, ${from.sequence})`;
  const leading = sql`where tenant = ${tenant} and ${lead} and ${behind} order by ${order} limit ${portion}`;
  // `offset 0`: a look for each, whatever the statistics say.
  const led = byChain
    ? sql`select * from (select at, sequence from chain_rows ${leading}) as c
        left join lateral (select ${TERMS} from search_rows as s
          where s.tenant = ${tenant} and s.at = c.at and s.sequence = c.sequence offset 0) as terms on true`
    : sql`select at, sequence, ${TERMS} from search_rows ${leading}`;
  const { rows } = await sql<{ found: Spot[] | null; last: Spot | null; looked: number }>`
    with looked as materialized (
      ${led}
    ), found as (
      select at, sequence from looked where ${rest} order by ${order} limit ${limit}
    ), last as (
      select at, sequence from looked order by ${back} limit 1
    )
    select (select json_agg(found order by ${order}) from found) as found,
      (select row_to_json(last) from last) as last,
      (select count(*)::int from looked) as looked`.execute(tx);
  const { found, last, looked = 0 } = rows[0] ?? {};
  const spots = found ?? [];
  const end = spots.length === limit ? spots.at(-1) : looked === portion ? last : undefined;
  return { spots, next: end === undefined || end === null ? undefined : { ...from, ...end } };
}

interface Spot {
  readonly at: number;
  readonly sequence: number;
}

/** What leads to the rows: from the oldest on the order is that of the chain, and every row is looked at. */
function leadOf(wanted: Wanted, { order }: Place): Condition {
  const { since = 0, until = Number.MAX_SAFE_INTEGER } = wanted;
  if (order === 'oldest') return sql`true`;
  const time = sql`at >= ${since} and at < ${until}`;
  for (const [column, everywhere] of LEADS) {
    const value = wanted[column];
    if (value === undefined || everywhere.some((common) => common === value)) continue;
    return sql`${sql.ref(column)} = ${value} and ${time}`;
  }
  const { kind } = wanted;
  return kind === undefined || kind === 'decision' || kind === 'outcome'
    ? time
    : sql`kind not in ('decision', 'outcome') and ${time}`;
}

function conditionsOf(wanted: Wanted): Condition {
  const { kind, since, until, before } = wanted;
  const conditions: Condition[] = [sql`true`];
  for (const column of COLUMNS) {
    const value = wanted[column];
    if (value !== undefined) conditions.push(sql`${sql.ref(column)} = ${value}`);
  }
  if (kind === 'control' || kind === 'approval') conditions.push(sql`kind like ${`${kind}.%`}`);
  else if (kind !== undefined) conditions.push(sql`kind = ${kind}`);
  if (since !== undefined) conditions.push(sql`at >= ${since}`);
  if (until !== undefined) conditions.push(sql`at < ${until}`);
  if (before !== undefined) conditions.push(sql`sequence < ${before}`);
  return sql.join(conditions, sql` and `);
}

/** Of a decision and what is about it. Two indexes: one for decisions themselves and one for what is about them. */
export async function sequencesAbout(
  tx: Transaction<AuditTables>,
  tenant: string,
  decisionId: string,
): Promise<number[]> {
  const rows = await tx
    .selectFrom('chain_rows')
    .select('sequence')
    .where('tenant', '=', tenant)
    .where((where) =>
      where.or([
        where.and([where('kind', '=', 'decision'), where('record_id', '=', decisionId)]),
        where.and([where('kind', '<>', 'decision'), where('decision_id', '=', decisionId)]),
      ]),
    )
    .orderBy('sequence')
    .limit(ABOUT_MAX)
    .execute();
  return rows.map(({ sequence }) => sequence);
}

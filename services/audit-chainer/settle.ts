/**
 * Ends what nobody has ended: a forwarded allow without an outcome after five minutes gets the outcome `unknown`. Each
 * decision is looked at once, when its time has come; a report that comes later is chained and counts instead.
 */
import { parseEntry } from '#contracts/chain.ts';
import { parseDecisionId, parseTenantId, PLATFORM } from '#contracts/ids.ts';

import { append, type ChainStore } from './append.ts';
import { type Candidate, unknownOutcome } from './candidate.ts';

export const UNKNOWN_AFTER_MS = 5 * 60_000;
/** Rows that are looked at together. */
const ROWS_MAX = 5_000;

interface Chain {
  readonly tenant: string;
  readonly head: number;
  readonly settled: number;
}

/**
 * Gives the number of new outcomes.
 * @param before milliseconds UTC: decisions up to then are looked at. Outcomes that were stored until five minutes later
 *   MUST be chained
 * @param stopping ends it early: the next one goes on
 */
export async function settle(
  store: ChainStore,
  before: number,
  stopping?: AbortSignal,
): Promise<number> {
  const { rows } = await store.pool.query<Chain>(
    `select tenant, heads.sequence as head, coalesce(settled.sequence, 0) as settled
     from heads left join settled using (tenant)
     where heads.sequence > coalesce(settled.sequence, 0) and tenant <> $1`,
    [PLATFORM],
  );
  let sum = 0;
  for (const { tenant, head, settled } of rows) {
    for (let from = settled; from < head && stopping?.aborted !== true;) {
      const portion = { tenant, from, to: Math.min(from + ROWS_MAX, head) };
      const { end, unknown } = await settleRows(store, portion, before);
      sum += unknown;
      if (end === from) break;
      from = end;
    }
  }
  return sum;
}

/** Rows of a chain behind `from`, up to `to`. */
interface Rows {
  readonly tenant: string;
  readonly from: number;
  readonly to: number;
}

/** Settles a portion as far as its time has come: up to `end`. */
async function settleRows(
  store: ChainStore,
  rows: Rows,
  before: number,
): Promise<{ readonly end: number; readonly unknown: number }> {
  const { pool } = store;
  const end = await endOfTime(pool, rows, before);
  if (end === rows.from) return { end, unknown: 0 };
  const open = await openCalls(pool, { ...rows, to: end });
  const unknown = open.length === 0 ? 0 : (await append(store, open)).rows;
  await pool.query(
    `insert into settled (tenant, sequence) values ($1, $2)
     on conflict (tenant) do update set sequence = greatest(settled.sequence, excluded.sequence)`,
    [rows.tenant, end],
  );
  return { end, unknown };
}

/** The row before the first decision whose time has not come. */
async function endOfTime(
  pool: ChainStore['pool'],
  { tenant, from, to }: Rows,
  before: number,
): Promise<number> {
  const { rows } = await pool.query<{ young: number | null }>(
    `select min(sequence) as young from chain_rows
     where tenant = $1 and sequence > $2 and sequence <= $3 and kind = 'decision' and at > $4`,
    [tenant, from, to, before],
  );
  const young = rows[0]?.young ?? null;
  return young === null ? to : young - 1;
}

/** An outcome for each forwarded allow that has none. `offset 0`: a look for each, never a join that reads all there are. */
async function openCalls(
  pool: ChainStore['pool'],
  { tenant, from, to }: Rows,
): Promise<Candidate[]> {
  const { rows } = await pool.query<{ entry: string }>(
    `select entry from chain_rows as decided
     where tenant = $1 and sequence > $2 and sequence <= $3 and kind = 'decision' and verdict = 'allow'
       and position('"forwards":true' in entry) > 0
       and not exists (select from chain_rows as about where about.tenant = decided.tenant
         and about.decision_id = decided.decision_id and about.decision_id <> ''
         and about.kind <> 'decision' and about.kind = 'outcome' offset 0)
     order by sequence`,
    [tenant, from, to],
  );
  return rows.flatMap(({ entry }) => {
    const body: Readonly<Record<string, unknown>> & { readonly id: string } = parseEntry(entry)
      ?.body ?? { id: '' };
    const [owner, id] = [parseTenantId(tenant), parseDecisionId(body.id)];
    const forwarded = body['forwards'] === true && owner !== undefined && id !== undefined;
    return forwarded ? [unknownOutcome(owner, id)] : [];
  });
}

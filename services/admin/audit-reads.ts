/**
 * Reads of the chain, in the role that may only read and inside the one tenant that the transaction names: row-level
 * security hides all others even where a query forgot its filter. Keyset pages by sequence, so the millionth page
 * costs what the first does.
 */
import { type Kysely, sql, type Transaction } from 'kysely';

import type { AuditHead, AuditRow } from '#contracts/audit-api.ts';
import {
  AT_MAX,
  type ChainRow,
  type ChainSource,
  indexText,
  parseEntry,
  showHash,
} from '#contracts/chain.ts';

/** The tables as far as they are read here (migrations/0001_chain.sql). */
export interface AuditTables {
  chain_rows: {
    tenant: string;
    sequence: number;
    kind: string;
    record_id: string;
    decision_id: string;
    agent: string;
    verdict: string;
    at: number;
    entry: string;
    hash: Uint8Array;
  };
  payloads: { tenant: string; sequence: number; body: string };
  heads: { tenant: string; sequence: number; hash: Uint8Array };
}

/** A row with what it is shown as. */
export interface ReadRow extends ChainRow {
  /** Where it was found, whatever its entry says: pages go on from here. */
  readonly place: number;
  readonly row: AuditRow;
  /** Exact text; null where there is none or it was not asked for. */
  readonly payload: string | null;
}

export interface Wanted {
  readonly kind?: string;
  readonly verdict?: string;
  readonly agent?: string;
  readonly decisionId?: string;
  /** Milliseconds UTC, the first that fits. */
  readonly since?: number;
  /** Milliseconds UTC, the first that no longer fits. */
  readonly until?: number;
}

export interface Page {
  /** Ascending rows behind a sequence, or descending ones before it. */
  readonly order: 'after' | 'before';
  readonly sequence: number;
  readonly limit: number;
  readonly payloads: boolean;
}

export interface AuditReads {
  readonly head: (tenant: string) => Promise<AuditHead>;
  readonly page: (tenant: string, wanted: Wanted, page: Page) => Promise<ReadRow[]>;
}

const NO_ROWS: AuditHead = { sequence: 0, hash: showHash(new Uint8Array(32)) };

export function auditReads(database: Kysely<AuditTables>): AuditReads {
  const within = <T>(tenant: string, read: (tx: Transaction<AuditTables>) => Promise<T>) =>
    database
      .transaction()
      .setAccessMode('read only')
      .execute(async (tx) => {
        await sql`select set_config('app.tenant', ${tenant}, true)`.execute(tx);
        return read(tx);
      });
  return {
    head: (tenant) =>
      within(tenant, async (tx) => {
        const row = await tx
          .selectFrom('heads')
          .select(['sequence', 'hash'])
          .where('tenant', '=', tenant)
          .executeTakeFirst();
        return row === undefined ? NO_ROWS : { ...row, hash: showHash(row.hash) };
      }),
    page: (tenant, wanted, page) =>
      within(tenant, async (tx) => {
        const rows = await pageQuery(tx, tenant, wanted, page).execute();
        return rows.map(readRow);
      }),
  };
}

function pageQuery(
  tx: Transaction<AuditTables>,
  tenant: string,
  { kind, verdict, agent, decisionId, since, until }: Wanted,
  { order, sequence, limit, payloads }: Page,
) {
  let query = tx
    .selectFrom('chain_rows as c')
    .leftJoin('payloads as p', (join) =>
      join
        .onRef('p.tenant', '=', 'c.tenant')
        .onRef('p.sequence', '=', 'c.sequence')
        .on(sql.val(payloads), '=', true),
    )
    .selectAll('c')
    .select('p.body as payload')
    .where('c.tenant', '=', tenant)
    .where('c.sequence', order === 'after' ? '>' : '<', sequence)
    .orderBy('c.sequence', order === 'after' ? 'asc' : 'desc')
    .limit(limit);
  if (kind === 'control') query = query.where('c.kind', 'like', 'control.%');
  else if (kind !== undefined) query = query.where('c.kind', '=', kind);
  if (verdict !== undefined) query = query.where('c.verdict', '=', verdict);
  if (agent !== undefined) query = query.where('c.agent', '=', agent);
  if (decisionId !== undefined) {
    // Two indexes, one for decisions themselves and one for what is about them.
    query = query.where((where) =>
      where.or([
        where.and([where('c.kind', '=', 'decision'), where('c.record_id', '=', decisionId)]),
        where.and([where('c.kind', '<>', 'decision'), where('c.decision_id', '=', decisionId)]),
      ]),
    );
  }
  if (since !== undefined) query = query.where('c.at', '>=', since);
  if (until !== undefined) query = query.where('c.at', '<', until);
  return query;
}

type Stored = AuditTables['chain_rows'] & { readonly payload: string | null };

function readRow(stored: Stored): ReadRow {
  const { entry: text, payload } = stored;
  const hash = showHash(stored.hash);
  return { place: stored.sequence, entry: text, hash, payload, row: shown(stored, hash) };
}

/** What the entry says. One that cannot be read is shown by its columns and marked. */
function shown(stored: Stored, hash: string): AuditRow {
  const columns = columnsOf(stored);
  const entry = parseEntry(stored.entry);
  if (entry === undefined) {
    return {
      ...columns,
      at: moment(stored.at),
      hash,
      source: NO_SOURCE,
      leaf: {},
      index_differs: true,
    };
  }
  const { body, sequence, kind, source } = entry;
  const leaf: Record<string, unknown> = body;
  const text = (name: string): string => (typeof leaf[name] === 'string' ? leaf[name] : '');
  const said = {
    sequence,
    kind,
    record_id: body.id,
    decision_id: kind === 'decision' ? body.id : text('decision_id'),
    verdict: kind === 'decision' ? text('verdict') : '',
    agent: text('agent'),
    at: body.at,
  };
  const index = JSON.stringify({ ...said, agent: indexText(said.agent) });
  const differs = index === JSON.stringify(columns) ? {} : { index_differs: true as const };
  return { ...said, at: moment(body.at), hash, source, leaf, ...differs };
}

const NO_SOURCE: ChainSource = { epoch: '', index: 0, sequence: 0, stream: '' };

/** RFC 3339, empty for what is no time: a row may hold anything once somebody tampered with it. */
const moment = (at: number): string => (Math.abs(at) <= AT_MAX ? new Date(at).toISOString() : '');

const columnsOf = (row: Stored) => ({
  sequence: row.sequence,
  kind: row.kind,
  record_id: row.record_id,
  decision_id: row.decision_id,
  verdict: row.verdict,
  agent: row.agent,
  at: row.at,
});

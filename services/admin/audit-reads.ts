/**
 * Reads of the chain, in the role that may only read and inside the one tenant that the transaction names: row-level
 * security hides all others even where a query forgot its filter.
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
import { type AtRest, openOrEmpty, payloadPlace } from '#host/at-rest.ts';

import type { Place } from './audit-query.ts';
import { searchRows, sequencesAbout, type Wanted } from './audit-search.ts';

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
    source_stream: string;
    source_epoch: string;
    source_sequence: number;
    source_index: number;
    entry: string;
    hash: Uint8Array;
  };
  /** Sealed. */
  payloads: { tenant: string; sequence: number; body: Uint8Array };
  heads: { tenant: string; sequence: number; hash: Uint8Array };
  payload_erasures: { tenant: string; sequence: number; order_id: string; at: number };
}

/** A row with what it is shown as. */
export interface ReadRow extends ChainRow {
  /** Where it was found, whatever its entry says: pages go on from here. */
  readonly place: number;
  readonly row: AuditRow;
  /** Exact text; null where there is none or it was not asked for. */
  readonly payload: string | null;
  /** An order has erased it; false where payloads were not asked for. */
  readonly erased: boolean;
}

/** Rows in the order of the chain. */
export interface Range {
  /** Behind this sequence. */
  readonly after: number;
  readonly limit: number;
  readonly payloads: boolean;
}

export interface Search {
  readonly wanted: Wanted;
  readonly from: Place;
  readonly limit: number;
}

export interface FoundRows {
  /** Read first: what is chained meanwhile lies behind it, and is not missed by whoever goes on from it. */
  readonly head: AuditHead;
  readonly rows: readonly ReadRow[];
  /** Where the next page begins; undefined = there is nothing more. */
  readonly next: Place | undefined;
}

/** `at` is RFC 3339; `by_order` the record id of the event. */
export interface Erased {
  readonly at: string;
  readonly by_order: string;
}

export interface AuditReads {
  readonly head: (tenant: string) => Promise<AuditHead>;
  readonly range: (tenant: string, range: Range) => Promise<ReadRow[]>;
  readonly search: (tenant: string, search: Search) => Promise<FoundRows>;
  /** A decision and what is about it, with payloads, in the order of the chain. */
  readonly about: (tenant: string, decisionId: string) => Promise<readonly ReadRow[]>;
  /** When a row's payload was erased, and by which order. */
  readonly erased: (tenant: string, sequence: number) => Promise<Erased | undefined>;
  /** The first record of a stored message. */
  readonly bySource: (
    tenant: string,
    source: Pick<ChainSource, 'stream' | 'epoch' | 'sequence'>,
  ) => Promise<ReadRow | undefined>;
}

const NO_ROWS: AuditHead = { sequence: 0, hash: showHash(new Uint8Array(32)) };

export function auditReads(database: Kysely<AuditTables>, atRest: AtRest): AuditReads {
  const readRow = rowReader(atRest);
  const rowsAt = rowsReader(readRow);
  const within = <T>(tenant: string, read: (tx: Transaction<AuditTables>) => Promise<T>) =>
    database
      .transaction()
      .setAccessMode('read only')
      .execute(async (tx) => {
        await sql`select set_config('app.tenant', ${tenant}, true)`.execute(tx);
        return read(tx);
      });
  return {
    head: (tenant) => within(tenant, (tx) => headOf(tx, tenant)),
    range: (tenant, { after, limit, payloads }) =>
      within(tenant, async (tx) => {
        const rows = await rowsWith(tx, payloads)
          .where('c.tenant', '=', tenant)
          .where('c.sequence', '>', after)
          .orderBy('c.sequence')
          .limit(limit)
          .execute();
        return rows.map(readRow);
      }),
    search: (tenant, search) =>
      within(tenant, async (tx) => {
        const head = await headOf(tx, tenant);
        const { sequences, next } = await searchRows(tx, { tenant, ...search });
        const rows = await rowsAt(tx, { tenant, sequences, payloads: false });
        return { head, rows, next };
      }),
    about: (tenant, decisionId) =>
      within(tenant, async (tx) => {
        const sequences = await sequencesAbout(tx, tenant, decisionId);
        return rowsAt(tx, { tenant, sequences, payloads: true });
      }),
    erased: (tenant, sequence) =>
      within(tenant, async (tx) => {
        const row = await tx
          .selectFrom('payload_erasures')
          .select(['order_id', 'at'])
          .where('tenant', '=', tenant)
          .where('sequence', '=', sequence)
          .executeTakeFirst();
        return row === undefined ? undefined : { at: moment(row.at), by_order: row.order_id };
      }),
    bySource: (tenant, { stream, epoch, sequence }) =>
      within(tenant, async (tx) => {
        const row = await rowsWith(tx, false)
          .where('c.tenant', '=', tenant)
          .where('c.source_stream', '=', stream)
          .where('c.source_stream', '<>', 'chainer') // the condition of the index
          .where('c.source_epoch', '=', epoch)
          .where('c.source_sequence', '=', sequence)
          .where('c.source_index', '=', 0)
          .executeTakeFirst();
        return row === undefined ? undefined : readRow(row);
      }),
  };
}

async function headOf(tx: Transaction<AuditTables>, tenant: string): Promise<AuditHead> {
  const row = await tx
    .selectFrom('heads')
    .select(['sequence', 'hash'])
    .where('tenant', '=', tenant)
    .executeTakeFirst();
  return row === undefined ? NO_ROWS : { ...row, hash: showHash(row.hash) };
}

/** Reads rows by their sequences, in this order. */
const rowsReader =
  (readRow: RowReader) =>
  async (
    tx: Transaction<AuditTables>,
    {
      tenant,
      sequences,
      payloads,
    }: {
      readonly tenant: string;
      readonly sequences: readonly number[];
      readonly payloads: boolean;
    },
  ): Promise<ReadRow[]> => {
    const rows = await rowsWith(tx, payloads)
      .where('c.tenant', '=', tenant)
      .where('c.sequence', '=', sql<number>`any(${sequences})`)
      .execute();
    const read = new Map(rows.map((row) => [row.sequence, readRow(row)]));
    return sequences.flatMap((sequence) => read.get(sequence) ?? []);
  };

const rowsWith = (tx: Transaction<AuditTables>, payloads: boolean) =>
  tx
    .selectFrom('chain_rows as c')
    .leftJoin('payloads as p', (join) =>
      join
        .onRef('p.tenant', '=', 'c.tenant')
        .onRef('p.sequence', '=', 'c.sequence')
        .on(sql.val(payloads), '=', true),
    )
    .leftJoin('payload_erasures as e', (join) =>
      join
        .onRef('e.tenant', '=', 'c.tenant')
        .onRef('e.sequence', '=', 'c.sequence')
        .on(sql.val(payloads), '=', true),
    )
    .selectAll('c')
    .select(['p.body as payload', sql<boolean>`e.order_id is not null`.as('erased')]);

type Stored = AuditTables['chain_rows'] & {
  readonly payload: Uint8Array | null;
  readonly erased: boolean;
};

type RowReader = (stored: Stored) => ReadRow;

const rowReader =
  (atRest: AtRest): RowReader =>
  (stored) => {
    const { entry: text, tenant, sequence, erased } = stored;
    const payload =
      stored.payload && openOrEmpty(atRest, stored.payload, payloadPlace(tenant, sequence));
    const hash = showHash(stored.hash);
    return { place: sequence, entry: text, hash, payload, erased, row: shown(stored, hash) };
  };

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

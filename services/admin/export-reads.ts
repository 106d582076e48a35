/**
 * What an export is made of, in the role that may only read and inside the one tenant that each transaction names. Pages
 * by sequence, so that an export of any length takes the memory of one page.
 */
import type pg from 'pg';

import { FIRST_PREV, showHash } from '#contracts/chain.ts';
import {
  EXPORT_FORMAT,
  type ExportFilters,
  type ExportHeader,
  type ExportRow,
  type LeafProof,
} from '#contracts/export.ts';
import type { TenantId } from '#contracts/ids.ts';
import { type AtRest, openOrEmpty, payloadPlace } from '#host/at-rest.ts';
import { inView } from '#host/database.ts';
import {
  consistencyProof,
  type Database,
  inclusionProof,
  inclusionProofs,
  leafIndex,
} from '#host/tree-store.ts';

import { newestWitnessed } from './proof-reads.ts';

export interface ExportAsked {
  readonly tenant: TenantId;
  readonly filters: ExportFilters;
  readonly payloads: boolean;
  /** Digest of the rules that mask them. */
  readonly redaction: string | undefined;
  /** Size of a witnessed checkpoint; undefined = the newest. */
  readonly size: number | undefined;
  /** Size of an older tree that is to be continued. */
  readonly since: number | undefined;
}

export interface ExportReads {
  /** Undefined while no witnessed checkpoint holds anything of the tenant, or for a size that is none. */
  readonly header: (asked: ExportAsked) => Promise<ExportHeader | undefined>;
  /** Rows behind a sequence, in the order of the chain. */
  readonly rows: (header: ExportHeader, after: number) => AsyncGenerator<ExportRow>;
}

const PAGE_ROWS = 500;

export function exportReads(pool: pg.Pool, atRest: AtRest): ExportReads {
  const reading = async <T>(tenant: string, read: (database: Database) => Promise<T>) =>
    inView(pool, tenant, read);
  return {
    header: async (asked) => reading(asked.tenant, async (database) => headerOf(database, asked)),
    rows: async function* rows(header, after) {
      const { tenant, first, last } = header;
      let from = Math.max(after, first - 1);
      while (from < last) {
        const through = from;
        const page = await reading(tenant, async (database) =>
          pageOf(database, { header, atRest, after: through }),
        );
        yield* page.rows;
        from = page.through;
      }
    },
  };
}

async function headerOf(
  database: Database,
  { tenant, filters, payloads, redaction, size, since }: ExportAsked,
): Promise<ExportHeader | undefined> {
  const checkpoint = await newestWitnessed(database, size);
  if (checkpoint === undefined || (size !== undefined && checkpoint.size !== size))
    return undefined;
  const head = await headIn(database, tenant, checkpoint.size);
  if (head === undefined || (since ?? 0) > checkpoint.size) return undefined;
  const completeness = completenessOf(filters);
  const { first, last } = await boundsOf(database, { tenant, filters, head: head.sequence });
  const before = first > 1 ? await hashAt(database, tenant, first - 1) : FIRST_PREV;
  const proved = completeness === 'range' && last > 0 && last < head.sequence;
  const keys = await database.query<{ vkey: string }>(
    'select vkey from log_keys where since_size < $1 order by at',
    [checkpoint.size],
  );
  return {
    format: EXPORT_FORMAT,
    tenant,
    entries: 1,
    filters,
    completeness,
    payloads,
    ...(redaction === undefined ? {} : { redaction: { rules: redaction } }),
    checkpoint: checkpoint.note,
    head,
    first,
    last,
    prev: showHash(before),
    ...(proved ? { last_proof: await proofOf(database, tenant, last, checkpoint.size) } : {}),
    ...(since === undefined
      ? {}
      : {
          consistency: {
            size: since,
            path: (await consistencyProof(database, since, checkpoint.size)).map(base64),
          },
        }),
    log_keys: keys.rows.map(({ vkey }) => vkey),
  };
}

function completenessOf({ from, to, agent, verdict }: ExportFilters): ExportHeader['completeness'] {
  if (agent !== undefined || verdict !== undefined) return 'selection';
  return from === undefined && to === undefined ? 'whole' : 'range';
}

/** Where the tenant's chain ended under a checkpoint. */
async function headIn(
  database: Database,
  tenant: string,
  size: number,
): Promise<ExportHeader['head'] | undefined> {
  const { rows } = await database.query<{ index: number; sequence: number }>(
    `select first_leaf as index, first_sequence as sequence from tree_ranges
     where tenant = $1 and kind = 'head' and first_leaf < $2 order by first_sequence desc limit 1`,
    [tenant, size],
  );
  const [found] = rows;
  if (found === undefined) return undefined;
  const { index, sequence } = found;
  const path = (await inclusionProof(database, index, size)).map(base64);
  return { sequence, hash: showHash(await hashAt(database, tenant, sequence)), index, path };
}

/** First and last sequence of a time: every row between them is exported, also one that was stamped otherwise. */
async function boundsOf(
  database: Database,
  wanted: { readonly tenant: string; readonly filters: ExportFilters; readonly head: number },
): Promise<{ readonly first: number; readonly last: number }> {
  const { tenant, filters, head } = wanted;
  const { from, to } = filters;
  if (from === undefined && to === undefined) return { first: Math.min(1, head), last: head };
  const { rows } = await database.query<{ first: number | null; last: number | null }>(
    `select min(sequence) as first, max(sequence) as last from chain_rows
     where tenant = $1 and sequence <= $2 and at >= $3 and at < $4`,
    [
      tenant,
      head,
      from === undefined ? 0 : Date.parse(from),
      to === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(to),
    ],
  );
  return { first: rows[0]?.first ?? 0, last: rows[0]?.last ?? 0 };
}

interface PageRow {
  readonly sequence: number;
  readonly entry: string;
  readonly hash: Uint8Array;
  readonly payload: Uint8Array | null;
}

async function pageOf(
  database: Database,
  {
    header,
    atRest,
    after,
  }: { readonly header: ExportHeader; readonly atRest: AtRest; readonly after: number },
): Promise<{ readonly rows: readonly ExportRow[]; readonly through: number }> {
  const { tenant, last, filters, payloads, completeness } = header;
  const selection = completeness === 'selection';
  const { rows } = await database.query<PageRow>(
    `select c.sequence, c.entry, c.hash, ${payloads ? 'p.body' : 'null::bytea'} as payload
     from chain_rows c
       ${payloads ? 'left join payloads p on p.tenant = c.tenant and p.sequence = c.sequence' : ''}
     where c.tenant = $1 and c.sequence > $2 and c.sequence <= $3
       and ($4::text is null or c.agent = $4) and ($5::text is null or c.verdict = $5)
     order by c.sequence limit ${PAGE_ROWS}`,
    [tenant, after, last, filters.agent ?? null, filters.verdict ?? null],
  );
  // A page that is not full is the last: nothing else fits, or the tail is gone, which the verifier sees.
  const through = rows.length < PAGE_ROWS ? last : (rows.at(-1)?.sequence ?? last);
  const proofs = selection ? await proofsOf(database, header, rows) : [];
  const before = selection ? await hashesBefore(database, tenant, rows) : new Map<number, string>();
  const page = rows.map(({ sequence, entry, hash, payload }, at): ExportRow => ({
    entry,
    hash: showHash(hash),
    ...(selection
      ? { prev: before.get(sequence - 1) ?? showHash(FIRST_PREV), proof: proofs[at] }
      : {}),
    ...(payloads
      ? { payload: payload && openOrEmpty(atRest, payload, payloadPlace(tenant, sequence)) }
      : {}),
  }));
  return { rows: page, through };
}

/**
 * By sequence, the hashes of the rows before these. A look of its own: under row-level security a join on `sequence - 1`
 * reads the whole chain, for the subtraction might tell of rows that are not the tenant's.
 */
async function hashesBefore(
  database: Database,
  tenant: string,
  rows: readonly PageRow[],
): Promise<ReadonlyMap<number, string>> {
  const found = await database.query<{ sequence: number; hash: Uint8Array }>(
    'select sequence, hash from chain_rows where tenant = $1 and sequence = any($2::bigint[])',
    [tenant, rows.map(({ sequence }) => sequence - 1)],
  );
  return new Map(found.rows.map(({ sequence, hash }) => [sequence, showHash(hash)]));
}

async function proofsOf(
  database: Database,
  { tenant, checkpoint }: ExportHeader,
  rows: readonly PageRow[],
): Promise<LeafProof[]> {
  const size = sizeOf(checkpoint);
  const { rows: found } = await database.query<{ index: number }>(
    `select (select first_leaf + (wanted.sequence - first_sequence) from tree_ranges
       where tenant = $1 and kind = 'entry' and first_sequence <= wanted.sequence
       order by first_sequence desc limit 1) as index
     from unnest($2::bigint[]) with ordinality as wanted (sequence, place) order by wanted.place`,
    [tenant, rows.map(({ sequence }) => sequence)],
  );
  const indexes = found.map(({ index }) => index);
  const paths = await inclusionProofs(database, indexes, size);
  return paths.map((path, at) => ({ index: indexes[at] ?? 0, path: path.map(base64) }));
}

async function proofOf(
  database: Database,
  tenant: string,
  sequence: number,
  size: number,
): Promise<LeafProof> {
  const index = await leafIndex(database, { tenant, kind: 'entry', sequence });
  if (index === undefined) throw new Error(`row ${sequence} of ${tenant} is not in the tree`);
  return { index, path: (await inclusionProof(database, index, size)).map(base64) };
}

async function hashAt(database: Database, tenant: string, sequence: number): Promise<Uint8Array> {
  const { rows } = await database.query<{ hash: Uint8Array }>(
    'select hash from chain_rows where tenant = $1 and sequence = $2',
    [tenant, sequence],
  );
  // Of a row that is gone: the export goes out, and its verifier says what is wrong with it.
  return rows[0]?.hash ?? FIRST_PREV;
}

/** Of a note that we signed ourselves. */
const sizeOf = (note: string): number => Number(note.split('\n', 2)[1]);

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

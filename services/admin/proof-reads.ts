/**
 * Proofs out of the tree, in the role that may only read. A record and its place in the tree are looked up inside the one
 * tenant that the transaction names; hashes and checkpoints are of all tenants and name none (migrations/0013_tree.sql).
 */
import type pg from 'pg';

import { FIRST_PREV, showHash } from '#contracts/chain.ts';
import { recordProof } from '#contracts/record-proof.ts';
import { inView } from '#host/database.ts';
import { consistencyProof, type Database, inclusionProof } from '#host/tree-store.ts';

export interface ProofReads {
  /** The proof of a decision's record; not_sealed before it is under a witnessed checkpoint. */
  readonly proof: (tenant: string, decisionId: string) => Promise<ProofFound>;
  /** The newest witnessed checkpoint with its cosignatures; undefined before the first. */
  readonly checkpoint: () => Promise<string | undefined>;
  /** Hashes that lead from one size to another; undefined for sizes that the tree has not had. */
  readonly consistency: (from: number, to: number) => Promise<readonly Uint8Array[] | undefined>;
}

export type ProofFound =
  | { readonly kind: 'proof'; readonly text: string }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'not_sealed' };

export function proofReads(pool: pg.Pool): ProofReads {
  // One view of everything: a record, a checkpoint with its cosignatures, and tiles.
  const reading = async <T>(read: (database: Database) => Promise<T>, tenant = '') =>
    inView(pool, tenant, read);
  return {
    proof: async (tenant, decisionId) =>
      reading((database) => proofOf(database, tenant, decisionId), tenant),
    checkpoint: async () => reading(async (database) => (await newestWitnessed(database))?.note),
    consistency: async (from, to) =>
      reading(async (database) => {
        const { rows } = await database.query<{ size: number }>('select size from tree');
        const { size = 0 } = rows[0] ?? {};
        return from <= to && to <= size ? consistencyProof(database, from, to) : undefined;
      }),
  };
}

async function proofOf(
  database: Database,
  tenant: string,
  decisionId: string,
): Promise<ProofFound> {
  const row = await rowOf(database, tenant, decisionId);
  if (row === undefined) return { kind: 'unknown' };
  const { index, size } = row;
  if (index === null || size === null || size <= index) return { kind: 'not_sealed' };
  const path = await inclusionProof(database, index, size);
  const checkpoint = (row.note ?? '') + (row.lines ?? '');
  return { kind: 'proof', text: recordProof(row, { index, path, checkpoint }) };
}

const WITNESSED = `size, note,
  (select string_agg(line, '' order by key) from cosignatures where cosignatures.size = newest.size) as lines
  from checkpoints as newest where witnessed_at is not null`;

/** The newest witnessed checkpoint up to a size, its note with all cosignatures. */
export async function newestWitnessed(
  database: Database,
  sizeMax = Number.MAX_SAFE_INTEGER,
): Promise<{ readonly size: number; readonly note: string } | undefined> {
  const { rows } = await database.query<{ size: number; note: string; lines: string | null }>({
    name: 'newest-witnessed',
    text: `select ${WITNESSED} and size <= $1 order by size desc limit 1`,
    values: [sizeMax],
  });
  const [row] = rows;
  return row && { size: row.size, note: row.note + (row.lines ?? '') };
}

/**
 * The decision's row, the hash of the row before it, where its leaf stands (null while the tree does not hold it), and
 * the newest witnessed checkpoint: its cosignatures say the most, and its tiles are at hand.
 * Under row-level security a condition uses an index only if it tells nothing of other rows: so the row before is the
 * last one below, for the subtraction of `sequence - 1` might fail.
 */
async function rowOf(database: Database, tenant: string, decisionId: string) {
  const { rows } = await database.query<{
    readonly sequence: number;
    readonly entry: string;
    readonly prev: Uint8Array | null;
    readonly index: number | null;
    readonly size: number | null;
    readonly note: string | null;
    readonly lines: string | null;
  }>({
    name: 'proof-row', // to plan it takes longer than to run it
    text: `select row.sequence, row.entry,
       (select hash from chain_rows as before where before.tenant = $1 and before.sequence < row.sequence
        order by before.sequence desc limit 1) as prev,
       (select case when row.sequence < first_sequence + count then first_leaf + (row.sequence - first_sequence) end
        from tree_ranges as range
        where range.tenant = $1 and range.kind = 'entry' and range.first_sequence <= row.sequence
        order by range.first_sequence desc limit 1) as index,
       size, note, lines
     from chain_rows as row
     left join (select ${WITNESSED} order by size desc limit 1) as checkpoint on true
     where row.tenant = $1 and row.kind = 'decision' and row.record_id = $2`,
    values: [tenant, decisionId],
  });
  const [row] = rows;
  return row && { ...row, prev: showHash(row.prev ?? FIRST_PREV) };
}

/**
 * Proofs out of the tree, in the role that may only read. A record and its place in the tree are looked up inside the one
 * tenant that the transaction names; hashes and checkpoints are of all tenants and name none (migrations/0013_tree.sql).
 */
import type pg from 'pg';

import { FIRST_PREV, showHash } from '#contracts/chain.ts';
import { recordProof } from '#contracts/record-proof.ts';
import { inTransaction } from '#host/database.ts';
import { consistencyProof, type Database, inclusionProof, leafIndex } from '#host/tree-store.ts';

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
  const reading = async <T>(read: (database: Database) => Promise<T>) =>
    inTransaction(pool, async (client) => {
      await client.query('set transaction isolation level repeatable read, read only');
      return read(client);
    });
  return {
    proof: async (tenant, decisionId) =>
      reading(async (database) => {
        await database.query(`select set_config('app.tenant', $1, true)`, [tenant]);
        return proofOf(database, tenant, decisionId);
      }),
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
  const index = await leafIndex(database, { tenant, kind: 'entry', sequence: row.sequence });
  // The newest: its cosignatures say the most, and its tiles are at hand.
  const checkpoint = await newestWitnessed(database);
  if (index === undefined || checkpoint === undefined || checkpoint.size <= index)
    return { kind: 'not_sealed' };
  const path = await inclusionProof(database, index, checkpoint.size);
  return { kind: 'proof', text: recordProof(row, { index, path, checkpoint: checkpoint.note }) };
}

/** The newest witnessed checkpoint up to a size, its note with all cosignatures. */
export async function newestWitnessed(
  database: Database,
  sizeMax = Number.MAX_SAFE_INTEGER,
): Promise<{ readonly size: number; readonly note: string } | undefined> {
  const { rows } = await database.query<{ size: number; note: string; lines: string | null }>(
    `select size, note,
       (select string_agg(line, '' order by key) from cosignatures where cosignatures.size = newest.size) as lines
     from checkpoints as newest where witnessed_at is not null and size <= $1 order by size desc limit 1`,
    [sizeMax],
  );
  const [row] = rows;
  return row && { size: row.size, note: row.note + (row.lines ?? '') };
}

/**
 * The decision's row, with the hash of the row before it. Two looks: under row-level security a join on `sequence - 1`
 * uses no index, for the subtraction might tell of rows that are not the tenant's.
 */
async function rowOf(database: Database, tenant: string, decisionId: string) {
  const found = await database.query<{ readonly sequence: number; readonly entry: string }>(
    `select sequence, entry from chain_rows where tenant = $1 and kind = 'decision' and record_id = $2`,
    [tenant, decisionId],
  );
  const [row] = found.rows;
  if (row === undefined) return undefined;
  const before = await database.query<{ readonly hash: Uint8Array }>(
    'select hash from chain_rows where tenant = $1 and sequence = $2',
    [tenant, row.sequence - 1],
  );
  return { ...row, prev: showHash(before.rows[0]?.hash ?? FIRST_PREV) };
}

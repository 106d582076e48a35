/** What the database knows of cosignatures: kept as they come, and from when on enough of them were there. */
import type pg from 'pg';

import { inTransaction } from '#host/database.ts';

/** A signature line of a witness that holds. */
export interface Cosignature {
  /** Name and id of its key. */
  readonly key: string;
  readonly line: string;
  /** Seconds UTC, as it was signed. */
  readonly seconds: number;
}

/** Keeps a cosignature of a checkpoint. @param witnessed those kept are enough for the policy */
export async function keepCosignature(
  pool: pg.Pool,
  size: number,
  { key, line, seconds }: Cosignature,
  witnessed: boolean,
): Promise<void> {
  await inTransaction(pool, async (client) => {
    await client.query(
      `insert into cosignatures (size, key, line, seconds) values ($1, $2, $3, $4)
       on conflict (size, key) do update set line = excluded.line, seconds = excluded.seconds`,
      [size, key, line, seconds],
    );
    if (witnessed) await client.query(MARK, [size, Date.now()]);
  });
}

/** Takes a checkpoint for witnessed, and every smaller one with it: the larger tree continues theirs. */
export async function markWitnessed(pool: pg.Pool, size: number): Promise<void> {
  await pool.query(MARK, [size, Date.now()]);
}

const MARK = 'update checkpoints set witnessed_at = $2 where size <= $1 and witnessed_at is null';

/** How far a stream's entries are safe elsewhere: the one seam between the chain and the spool behind it. */
import type { ConsumerName, StreamName } from '#contracts/streams.ts';
import type { Database } from '#host/tree-store.ts';

/** Streams that are chained, by the consumer that does it. */
export const CHAINED = [
  'chain-decisions',
  'chain-outcomes',
  'chain-approvals',
  'chain-control',
] as const satisfies ConsumerName[];

/**
 * Sequence up to which every message of a stream is under a checkpoint that enough witnesses have cosigned; 0 for none,
 * and for a stream of another epoch.
 */
export async function sealedThrough(
  database: Database,
  stream: StreamName,
  epoch: string,
): Promise<number> {
  const { rows } = await database.query<{ sequence: number }>(
    `select (floors -> $1 ->> 'sequence')::bigint as sequence from checkpoints
     where witnessed_at is not null and floors -> $1 ->> 'epoch' = $2
     order by size desc limit 1`,
    [stream, epoch],
  );
  return rows[0]?.sequence ?? 0;
}

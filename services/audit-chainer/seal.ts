/**
 * One checkpoint, on one screen: in one transaction lock the tree, take what the chains of all tenants have that it does
 * not, append that and where each of them ends, sign. Safe with chainers side by side: whoever holds the lock sees what
 * the other has sealed.
 */
import type pg from 'pg';

import { HASH_BYTES } from '#contracts/chain.ts';
import { checkpointText } from '#contracts/checkpoint.ts';
import { noteOf, type SignerKey, signatureLine } from '#contracts/note.ts';
import type { StreamName } from '#contracts/streams.ts';
import { treeLeaf, type TreeLeaf } from '#contracts/tree-leaf.ts';
import { inTransaction } from '#host/database.ts';
import type { Database } from '#host/tree-store.ts';

import { growTree } from './tree.ts';

/** By stream: its epoch, and the sequence up to which all its messages were chained. */
export type Floors = Readonly<
  Partial<Record<StreamName, { readonly epoch: string; readonly sequence: number }>>
>;

export interface Sealed {
  readonly size: number;
  /** Text of the note, and the line by which the log signed it. */
  readonly text: string;
  readonly lines: readonly string[];
  /** There is more than one checkpoint takes: the next may follow at once. */
  readonly more: boolean;
}

/** Rows that one checkpoint takes; memory stays bounded however far the tree is behind. */
const ROWS_MAX = 20_000;

/** Chains that have more than the tree. */
const FROM_UNSEALED = `from heads left join lateral (
    select first_sequence + count - 1 as through from tree_ranges
    where tree_ranges.tenant = heads.tenant and kind = 'entry' order by first_sequence desc limit 1
  ) as sealed on true
  where heads.sequence > coalesce(sealed.through, 0)`;

/**
 * Writes down how far the streams are under the last checkpoint although nothing is new: acknowledgements come after the
 * rows, and some messages add none. In one statement, and so of one moment.
 */
export async function keepFloors(pool: pg.Pool, floors: Floors): Promise<void> {
  await pool.query(
    `update checkpoints set floors = $1
     where size = (select size from tree) and not exists (select ${FROM_UNSEALED})`,
    [floors],
  );
}

/** A run of chain rows that the tree does not hold. */
interface Range {
  readonly tenant: string;
  readonly first: number;
  readonly last: number;
  /** It ends where the chain ends. */
  readonly whole: boolean;
}

/**
 * Seals what is new; undefined when nothing is.
 * @param floors read before: what was chained by then is under the checkpoint, unless it says `more`
 * @throws the driver's error, or Error when a chain has a hole: nothing is sealed then
 */
export async function seal(
  pool: pg.Pool,
  signer: SignerKey,
  floors: Floors,
): Promise<Sealed | undefined> {
  if ((await newRanges(pool)).ranges.length === 0) return undefined; // without a lock, a commit and its sync
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ size: number }>('select size from tree for update');
    const size = rows[0]?.size ?? 0;
    const { ranges, more } = await newRanges(client);
    if (ranges.length === 0) return undefined;
    const leaves = await leavesOf(client, ranges);
    await insertRanges(client, size, leaves);
    const tree = await growTree(client, size, leaves.map(treeLeaf));
    await client.query('update tree set size = $1', [tree.size]);

    const text = checkpointText({ origin: signer.name, ...tree });
    const lines = [signatureLine(text, signer)];
    await client.query(
      'insert into checkpoints (size, root, at, note, floors) values ($1, $2, $3, $4, $5)',
      [tree.size, tree.root, Date.now(), noteOf(text, lines), more ? {} : floors],
    );
    return { size: tree.size, text, lines, more };
  });
}

/** What each tenant's chain has beyond the tree, up to ROWS_MAX rows; tenants in one order everywhere. */
async function newRanges(
  database: Database,
): Promise<{ readonly ranges: readonly Range[]; readonly more: boolean }> {
  const { rows } = await database.query<{ tenant: string; sealed: number; last: number }>(
    `select heads.tenant, coalesce(sealed.through, 0) as sealed, heads.sequence as last
     ${FROM_UNSEALED} order by heads.tenant collate "C"`,
  );
  const ranges: Range[] = [];
  let room = ROWS_MAX;
  for (const { tenant, sealed, last } of rows) {
    if (room === 0) return { ranges, more: true };
    const end = Math.min(last, sealed + room);
    ranges.push({ tenant, first: sealed + 1, last: end, whole: end === last });
    room -= end - sealed;
  }
  return { ranges, more: ranges.some(({ whole }) => !whole) };
}

/** The entries of the ranges, then the heads of those that end where their chain ends. */
async function leavesOf(client: pg.PoolClient, ranges: readonly Range[]): Promise<TreeLeaf[]> {
  // The hashes of a range in one piece: read row by row they cost both sides several times as much.
  const { rows } = await client.query<{ place: number; hashes: Buffer | null }>(
    `select place, (select string_agg(hash, '' order by sequence) from chain_rows
       where chain_rows.tenant = wanted.tenant and sequence between first and last) as hashes
     from unnest($1::text[], $2::bigint[], $3::bigint[]) with ordinality as wanted (tenant, first, last, place)`,
    [
      ranges.map(({ tenant }) => tenant),
      ranges.map(({ first }) => first),
      ranges.map(({ last }) => last),
    ],
  );
  const hashesAt = new Map(rows.map(({ place, hashes }) => [place - 1, hashes]));
  const entries: TreeLeaf[] = [];
  const heads: TreeLeaf[] = [];
  let missing = 0;
  for (const [place, { tenant, first, last, whole }] of ranges.entries()) {
    const hashes = hashesAt.get(place) ?? Buffer.alloc(0);
    missing += last - first + 1 - hashes.length / HASH_BYTES;
    for (let at = 0; at < hashes.length; at += HASH_BYTES) {
      const hash = hashes.subarray(at, at + HASH_BYTES);
      entries.push({ kind: 'entry', tenant, sequence: first + at / HASH_BYTES, hash });
    }
    const end = entries.at(-1);
    if (whole && end !== undefined) heads.push({ ...end, kind: 'head' });
  }
  // A unique sequence each: that none is missing means that each has its own.
  if (missing !== 0) throw new Error(`${missing} rows are missing from the chains`);
  return [...entries, ...heads];
}

async function insertRanges(
  client: pg.PoolClient,
  size: number,
  leaves: readonly TreeLeaf[],
): Promise<void> {
  const ranges: (TreeLeaf & { readonly leaf: number; count: number })[] = [];
  for (const [at, leaf] of leaves.entries()) {
    const last = ranges.at(-1);
    if (last?.tenant === leaf.tenant && last.kind === leaf.kind) last.count += 1;
    else ranges.push({ ...leaf, leaf: size + at, count: 1 });
  }
  await client.query(
    `insert into tree_ranges (first_leaf, tenant, kind, first_sequence, count)
     select * from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])`,
    [
      ranges.map(({ leaf }) => leaf),
      ranges.map(({ tenant }) => tenant),
      ranges.map(({ kind }) => kind),
      ranges.map(({ sequence }) => sequence),
      ranges.map(({ count }) => count),
    ],
  );
}

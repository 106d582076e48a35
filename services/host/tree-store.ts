/** Reads the tree that the audit chainer grows (migrations/0013_tree.sql): hashes from its tiles, proofs from hashes. */
import type pg from 'pg';

import { HASH_BYTES } from '#contracts/chain.ts';
import {
  consistencySteps,
  type HashOf,
  inclusionSteps,
  nodeHash,
  proofOf,
  type ProofStep,
  type Subtree,
} from '#contracts/merkle.ts';

/** Levels of the tree that one level of tiles spans, and hashes of a whole tile. */
export const TILE_LEVELS = 8;
export const TILE_HASHES = 2 ** TILE_LEVELS;

/** A pool or a client inside a transaction. */
export type Database = Pick<pg.Pool, 'query'>;

export interface Tile {
  readonly level: number;
  readonly index: number;
  /** Up to TILE_HASHES hashes, one after the other. */
  readonly hashes: Buffer;
}

/** Hashes of perfect subtrees out of these tiles. @throws Error for one that they do not hold */
export function hashesIn(tiles: readonly Tile[]): HashOf<Uint8Array> {
  const known = new Map(tiles.map(({ level, index, hashes }) => [`${level}/${index}`, hashes]));
  return (level, index) => {
    const { tile, first, count } = placeOf({ level, index });
    const hashes = known.get(`${tile.level}/${tile.index}`);
    const from = hashes?.subarray(first * HASH_BYTES, (first + count) * HASH_BYTES);
    if (from?.length !== count * HASH_BYTES) throw new Error(`no hash of ${level}/${index}`);
    return fold(from);
  };
}

/** Proof that leaf `index` stands in the tree of `size` leaves. */
export const inclusionProof = (
  database: Database,
  index: number,
  size: number,
): Promise<readonly Uint8Array[]> => hashesFor(database, inclusionSteps(index, size));

/** Proofs that each of these leaves stands in the tree of `size` leaves, with one look at its tiles. */
export async function inclusionProofs(
  database: Database,
  indexes: readonly number[],
  size: number,
): Promise<readonly (readonly Uint8Array[])[]> {
  const steps = indexes.map((index) => inclusionSteps(index, size));
  const hashOf = await hashesOf(database, steps.flat());
  return steps.map((of) => proofOf(of, hashOf));
}

/** Proof that the tree of `size` leaves continues the one of `old`. */
export const consistencyProof = (
  database: Database,
  old: number,
  size: number,
): Promise<readonly Uint8Array[]> => hashesFor(database, consistencySteps(old, size));

const hashesFor = async (
  database: Database,
  steps: readonly ProofStep[],
): Promise<readonly Uint8Array[]> => proofOf(steps, await hashesOf(database, steps));

/** The hashes of all subtrees of these steps, read from their tiles. */
async function hashesOf(
  database: Database,
  steps: readonly ProofStep[],
): Promise<HashOf<Uint8Array>> {
  const tiles = new Map(
    steps.flat().map((subtree) => {
      const { tile } = placeOf(subtree);
      return [`${tile.level}/${tile.index}`, tile];
    }),
  );
  return hashesIn(await readTiles(database, [...tiles.values()]));
}

export async function readTiles(
  database: Database,
  places: readonly Pick<Tile, 'level' | 'index'>[],
): Promise<Tile[]> {
  const { rows } = await database.query<Tile>({
    name: 'tiles', // to plan it takes longer than to run it
    text: `select level, index, hashes from tree_tiles
     join unnest($1::int[], $2::bigint[]) as wanted (level, index) using (level, index)`,
    values: [places.map(({ level }) => level), places.map(({ index }) => index)],
  });
  return rows;
}

/**
 * Where the leaf of a chain row stands, or of the head that it was; undefined while the tree does not hold it.
 * In `admin` only for the tenant of the transaction.
 */
export async function leafIndex(
  database: Database,
  leaf: { readonly tenant: string; readonly kind: 'entry' | 'head'; readonly sequence: number },
): Promise<number | undefined> {
  const { rows } = await database.query<{ index: number }>(
    `select first_leaf + ($3 - first_sequence) as index from tree_ranges
     where tenant = $1 and kind = $2 and first_sequence <= $3 and $3 < first_sequence + count
     order by first_sequence desc limit 1`,
    [leaf.tenant, leaf.kind, leaf.sequence],
  );
  return rows[0]?.index;
}

/** The tile in which a subtree's hashes stand, and which of them. */
function placeOf({ level, index }: Subtree): {
  readonly tile: Pick<Tile, 'level' | 'index'>;
  readonly first: number;
  readonly count: number;
} {
  const count = 2 ** (level % TILE_LEVELS);
  const at = index * count;
  const tile = { level: Math.floor(level / TILE_LEVELS), index: Math.floor(at / TILE_HASHES) };
  return { tile, first: at % TILE_HASHES, count };
}

/** Root of a perfect subtree over hashes that lie one after the other. */
export function fold(hashes: Buffer): Uint8Array {
  if (hashes.length === HASH_BYTES) return hashes;
  const middle = hashes.length / 2;
  return nodeHash(fold(hashes.subarray(0, middle)), fold(hashes.subarray(middle)));
}

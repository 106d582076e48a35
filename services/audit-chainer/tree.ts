/** Grows the tree: leaves in, tiles and the new root out. Only the tiles at its right edge are read and written. */
import { HASH_BYTES } from '#contracts/chain.ts';
import { leafHash, rootOf, rootSubtrees } from '#contracts/merkle.ts';
import {
  type Database,
  fold,
  hashesIn,
  readTiles,
  type Tile,
  TILE_HASHES,
} from '#host/tree-store.ts';

/** Appends leaves to a tree of `size`, and gives its new root. The tree MUST be locked. */
export async function growTree(
  database: Database,
  size: number,
  leaves: readonly Uint8Array[],
): Promise<{ readonly size: number; readonly root: Uint8Array }> {
  const edge = await readTiles(database, edgeOf(size));
  const levels: Growing[] = [];
  const levelAt = (level: number): Growing => {
    const index = Math.floor(Math.floor(size / TILE_HASHES ** level) / TILE_HASHES);
    const hashes = edge.find((tile) => tile.level === level && tile.index === index)?.hashes;
    return (levels[level] ??= {
      level,
      index,
      hashes: hashes === undefined ? [] : [hashes],
      count: (hashes?.length ?? 0) / HASH_BYTES,
    });
  };
  const full: Tile[] = [];
  const push = (level: number, hash: Uint8Array): void => {
    const tile = levelAt(level);
    tile.hashes.push(hash);
    tile.count += 1;
    if (tile.count < TILE_HASHES) return;
    const hashes = Buffer.concat(tile.hashes);
    full.push({ level, index: tile.index, hashes });
    levels[level] = { level, index: tile.index + 1, hashes: [], count: 0 };
    push(level + 1, fold(hashes));
  };
  for (const leaf of leaves) push(0, leafHash(leaf));
  const grown = levels
    .filter(({ hashes }) => hashes.length > 0)
    .map(({ level, index, hashes }) => ({ level, index, hashes: Buffer.concat(hashes) }));
  await writeTiles(database, [...full, ...grown]);

  const newSize = size + leaves.length;
  const hashOf = hashesIn([...edge, ...full, ...grown]);
  const root = rootOf(rootSubtrees(newSize).map(({ level, index }) => hashOf(level, index)));
  return { size: newSize, root };
}

/** The last tile of a level: what it held, and what came to it. */
interface Growing {
  readonly level: number;
  readonly index: number;
  /** As it was stored, then one by one. */
  readonly hashes: Uint8Array[];
  count: number;
}

/** The last, unfinished tile of each level of a tree, also where it is empty yet. */
function edgeOf(size: number): Pick<Tile, 'level' | 'index'>[] {
  const edge: Pick<Tile, 'level' | 'index'>[] = [];
  for (let level = 0, width = size; width > 0; level += 1, width = Math.floor(width / TILE_HASHES))
    edge.push({ level, index: Math.floor(width / TILE_HASHES) });
  return edge;
}

async function writeTiles(database: Database, tiles: readonly Tile[]): Promise<void> {
  await database.query(
    `insert into tree_tiles (level, index, hashes)
     select * from unnest($1::int[], $2::bigint[], $3::bytea[])
     on conflict (level, index) do update set hashes = excluded.hashes`,
    [
      tiles.map(({ level }) => level),
      tiles.map(({ index }) => index),
      tiles.map(({ hashes }) => hashes),
    ],
  );
}

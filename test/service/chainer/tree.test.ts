// The tree over several levels of tiles: grown in pieces of any size, it is the tree that RFC 6962 defines.

import { hash } from 'node:crypto';

import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { leafHash, nodeHash, verifyConsistency, verifyInclusion } from '#contracts/merkle.ts';
import { consistencyProof, inclusionProof } from '#host/tree-store.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';

import { growTree } from '../../../services/audit-chainer/tree.ts';

let evidence: Evidence;
let database: pg.Client;
beforeAll(async () => {
  evidence = await startEvidence();
  database = new pg.Client({ connectionString: evidence.databaseUrl('postgres') });
  await database.connect();
  // Of this session alone, in front of the real one.
  await database.query('create temp table tree_tiles (like public.tree_tiles including all)');
});
afterAll(async () => {
  await database.end();
  await evidence.stop();
});

const leaf = (index: number): Uint8Array => Buffer.from(`leaf ${index}`);

/** The definition of RFC 6962, 2.1, over leaf hashes. */
function definedRoot(hashes: readonly Uint8Array[]): Uint8Array {
  if (hashes.length === 0) return hash('sha256', '', 'buffer');
  if (hashes.length === 1) return hashes[0]!;
  let k = 1;
  while (k * 2 < hashes.length) k *= 2;
  return nodeHash(definedRoot(hashes.slice(0, k)), definedRoot(hashes.slice(k)));
}

// To both sides of a whole tile (256), of a whole tile of tiles (65,536), and in between.
const SIZES = [1, 2, 255, 256, 257, 511, 512, 700, 20_000, 65_535, 65_536, 65_537, 66_000];

test('grown in pieces, root and proofs are those of the whole tree', async () => {
  const hashes: Uint8Array[] = [];
  const heads: { readonly size: number; readonly root: Uint8Array }[] = [];
  for (const size of SIZES) {
    const leaves = Array.from({ length: size - hashes.length }, (_, at) =>
      leaf(hashes.length + at),
    );
    const head = await growTree(database as never, hashes.length, leaves);
    hashes.push(...leaves.map(leafHash));
    expect(head).toEqual({ size, root: definedRoot(hashes) });
    heads.push(head);
  }
  const wrong: unknown[] = [];
  for (const tree of heads) {
    for (const index of new Set([0, 1, 254, 255, 256, 511, 65_535, tree.size - 1])) {
      if (index >= tree.size) continue;
      const proof = await inclusionProof(database as never, index, tree.size);
      if (!verifyInclusion({ leafHash: hashes[index]!, index, proof, tree }))
        wrong.push(['inclusion', index, tree.size]);
    }
    for (const from of heads.filter(({ size }) => size <= tree.size)) {
      const proof = await consistencyProof(database as never, from.size, tree.size);
      if (!verifyConsistency({ from, to: tree, proof })) wrong.push([from.size, tree.size]);
    }
  }
  expect(wrong).toEqual([]);
  const tiles = await database.query<{ level: number; tiles: string; hashes: string }>(
    `select level, count(*) as tiles, sum(length(hashes)) / 32 as hashes from tree_tiles group by level order by level`,
  );
  // Tiles as C2SP tlog-tiles has them: nothing but whole ones and the last of each level.
  expect(tiles.rows.map((row) => [row.level, Number(row.tiles), Number(row.hashes)])).toEqual([
    [0, 258, 66_000],
    [1, 2, 257],
    [2, 1, 1],
  ]);
});

// RFC 6962 trees: the published vectors of Certificate Transparency, and the laws by random trees.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { checkpointText, parseCheckpoint } from '#contracts/checkpoint.ts';
import {
  consistencySteps,
  emptyRoot,
  inclusionSteps,
  leafHash,
  nodeHash,
  proofOf,
  rootOf,
  rootSubtrees,
  verifyConsistency,
  verifyInclusion,
} from '#contracts/merkle.ts';
import { runs } from '#test/support/runs.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** The definition of RFC 6962, 2.1, word for word. */
function definedRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return emptyRoot;
  if (leaves.length === 1) return leafHash(leaves[0]!);
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return nodeHash(definedRoot(leaves.slice(0, k)), definedRoot(leaves.slice(k)));
}

/** A tree with its perfect subtrees at hand. */
function treeOf(leaves: readonly Uint8Array[]) {
  const hashOf = (level: number, index: number) =>
    definedRoot(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level));
  const root = (size: number) => rootOf(rootSubtrees(size).map((s) => hashOf(s.level, s.index)));
  return { hashOf, root };
}

/** Leaves and roots of the reference implementation's tests (google/certificate-transparency, merkle_tree_test.cc). */
const CT_LEAVES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
];
const CT_ROOTS = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

describe('the vectors of Certificate Transparency', () => {
  const leaves = CT_LEAVES.map((text) => Buffer.from(text, 'hex'));
  it('have these roots', () => {
    const { root } = treeOf(leaves);
    expect(CT_ROOTS.map((_, at) => hex(root(at + 1)))).toEqual(CT_ROOTS);
    expect(hex(root(0))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  it.each<[index: number, size: number, proof: string[]]>([
    [0, 1, []],
    [
      0,
      8,
      [
        '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
        '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
        '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
      ],
    ],
    [
      5,
      8,
      [
        'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
        'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
        'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      ],
    ],
    [2, 3, ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125']],
  ])('have leaf %i of %i included by this proof', (index, size, proof) => {
    expect(proofOf(inclusionSteps(index, size), treeOf(leaves).hashOf).map(hex)).toEqual(proof);
  });

  it.each<[old: number, size: number, proof: string[]]>([
    [1, 1, []],
    [
      1,
      8,
      [
        '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
        '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
        '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
      ],
    ],
    [
      6,
      8,
      [
        '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
        'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
        'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      ],
    ],
    [
      2,
      5,
      [
        '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
        'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      ],
    ],
  ])('continue %i to %i by this proof', (old, size, proof) => {
    expect(proofOf(consistencySteps(old, size), treeOf(leaves).hashOf).map(hex)).toEqual(proof);
  });
});

const LEAVES = Array.from({ length: 70 }, (_, at) => Buffer.from(`leaf ${at}`));
const TREE = treeOf(LEAVES);
const head = (size: number) => ({ size, root: TREE.root(size) });
const flipped = (bytes: Uint8Array, at: number) =>
  bytes.map((byte, place) => (place === at % bytes.length ? byte ^ 1 : byte));

const changed = (proof: readonly Uint8Array[], bit: number) =>
  proof.map((hash, at) => (at === bit % proof.length ? flipped(hash, bit) : hash));

describe('any tree', () => {
  it('has the root that the definition gives', () => {
    for (let size = 0; size <= LEAVES.length; size++)
      expect(hex(TREE.root(size))).toBe(hex(definedRoot(LEAVES.slice(0, size))));
  });

  it('proves every leaf, and nothing else by the same proof', () => {
    const place = fc.integer({ min: 1, max: LEAVES.length }).chain((size) =>
      fc.record({
        size: fc.constant(size),
        index: fc.nat(size - 1),
        other: fc.nat(80),
        bit: fc.nat(),
      }),
    );
    fc.assert(
      fc.property(place, ({ size, index, other, bit }) => {
        const proof = proofOf(inclusionSteps(index, size), TREE.hashOf);
        const claim = { leafHash: leafHash(LEAVES[index]!), index, proof, tree: head(size) };
        expect(verifyInclusion(claim)).toBe(true);
        const wrong = [
          { ...claim, leafHash: flipped(claim.leafHash, bit) },
          { ...claim, tree: { size, root: flipped(claim.tree.root, bit) } },
          { ...claim, proof: [...proof, emptyRoot] },
          ...(other === index ? [] : [{ ...claim, index: other }]),
          ...(proof.length === 0 ? [] : [{ ...claim, proof: proof.slice(1) }]),
          ...(proof.length === 0 ? [] : [{ ...claim, proof: changed(proof, bit) }]),
        ];
        expect(wrong.map(verifyInclusion)).toEqual(wrong.map(() => false));
      }),
      runs(500),
    );
  });

  it('proves that it continues every earlier one, and no other', () => {
    const sizes = fc
      .tuple(fc.integer({ min: 0, max: 70 }), fc.integer({ min: 0, max: 70 }), fc.nat())
      .map(([a, b, bit]) => ({ old: Math.min(a, b), size: Math.max(a, b), bit }));
    fc.assert(
      fc.property(sizes, ({ old, size, bit }) => {
        const proof = proofOf(consistencySteps(old, size), TREE.hashOf);
        const claim = { from: head(old), to: head(size), proof };
        expect(verifyConsistency(claim)).toBe(true);
        const wrong = [
          { ...claim, from: { size: old, root: flipped(claim.from.root, bit) } },
          { ...claim, proof: [...proof, emptyRoot] },
          ...(old === 0 ? [] : [{ ...claim, to: { size, root: flipped(claim.to.root, bit) } }]),
          ...(proof.length === 0 ? [] : [{ ...claim, proof: proof.slice(1) }]),
          ...(proof.length === 0 ? [] : [{ ...claim, proof: changed(proof, bit) }]),
        ];
        expect(wrong.map(verifyConsistency)).toEqual(wrong.map(() => false));
      }),
      runs(500),
    );
  });

  it('beyond 2^32 leaves is counted right', () => {
    const size = 2 ** 40 + 3;
    expect(rootSubtrees(2 ** 52 - 1)).toHaveLength(52);
    const steps = inclusionSteps(2 ** 40 + 1, size);
    expect(steps).toEqual([
      [{ level: 0, index: 2 ** 40 }],
      [{ level: 0, index: 2 ** 40 + 2 }],
      [{ level: 40, index: 0 }],
    ]);
  });

  it('has no leaf beyond its size', () => {
    expect(() => inclusionSteps(3, 3)).toThrow(RangeError);
    expect(() => consistencySteps(4, 3)).toThrow(RangeError);
  });
});

describe('a checkpoint', () => {
  const checkpoint = { origin: 'log.example/demo', size: 12, root: Buffer.alloc(32, 7) };
  it('is read as it was written', () => {
    expect(parseCheckpoint(checkpointText(checkpoint))).toEqual(checkpoint);
  });
  it('may have lines that we do not know', () => {
    expect(parseCheckpoint(`${checkpointText(checkpoint)}more\n`)).toEqual(checkpoint);
  });
  it.each([
    ['nothing', ''],
    ['no origin', '\n12\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n'],
    ['a size with a leading zero', 'o\n012\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n'],
    ['a negative size', 'o\n-1\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n'],
    [
      'a size beyond what is exact',
      'o\n9007199254740993\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n',
    ],
    ['a short root', 'o\n12\nBwcHBwc=\n'],
    ['base64 with spare bits', 'o\n12\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwd=\n'],
    ['no last line break', 'o\n12\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc='],
    ['an empty line', 'o\n12\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n\nmore\n'],
  ])('is not %s', (_, text) => {
    expect(parseCheckpoint(text)).toBeUndefined();
  });
});

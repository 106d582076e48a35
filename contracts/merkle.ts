/**
 * Merkle trees as RFC 6962, section 2.1, defines them: hashes of leaves and of nodes, and the two proofs that somebody
 * with a root needs: that a leaf stands in the tree (inclusion), and that one tree continues another (consistency).
 * Pure. Who makes a proof names the hashes of whole subtrees by `HashOf`, from wherever they are stored.
 */
import { hash, timingSafeEqual } from 'node:crypto';

import { HASH_BYTES } from './chain.ts';

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

// In one piece: half the time of a hash that is fed piece by piece.
const sha256 = (...parts: readonly Uint8Array[]): Uint8Array =>
  hash('sha256', Buffer.concat(parts), 'buffer');

export const leafHash = (leaf: Uint8Array): Uint8Array => sha256(LEAF, leaf);

/** What a node's hash is taken of, used again and again: a proof takes hundreds of hashes. */
const node = Buffer.alloc(1 + 2 * HASH_BYTES, NODE);

export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length !== HASH_BYTES || right.length !== HASH_BYTES) return sha256(NODE, left, right);
  node.set(left, 1);
  node.set(right, 1 + HASH_BYTES);
  return hash('sha256', node, 'buffer');
}

/** Root of a tree without leaves. */
export const emptyRoot: Uint8Array = sha256();

/** A tree by its number of leaves and its root of 32 bytes. */
export interface TreeHead {
  readonly size: number;
  readonly root: Uint8Array;
}

/**
 * Hash of the perfect subtree of 2^level leaves that begins at leaf `index * 2^level`. Level 0 are the leaf hashes.
 * Asked only for subtrees that lie whole in the tree.
 */
export type HashOf<Hash> = (level: number, index: number) => Hash;

/** A perfect subtree by its place. */
export interface Subtree {
  readonly level: number;
  readonly index: number;
}

/** The perfect subtrees that leaves [from, to) fall into, left to right. `from` MUST be where one as large may begin. */
function subtrees(from: number, to: number): Subtree[] {
  const found: Subtree[] = [];
  for (let at = from; at < to;) {
    const level = levelOf(to - at);
    const width = 2 ** level;
    found.push({ level, index: at / width });
    at += width;
  }
  return found;
}

/** The perfect subtrees whose hashes make the root of a tree of `size` leaves, the largest first. */
export const rootSubtrees = (size: number): readonly Subtree[] => subtrees(0, size);

/** Root over the hashes of `rootSubtrees(size)`, in their order. */
export function rootOf(hashes: readonly Uint8Array[]): Uint8Array {
  const last = hashes.at(-1);
  if (last === undefined) return emptyRoot;
  return hashes.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), last);
}

/** One hash of a proof: of a perfect subtree, or folded from several that lie side by side (rootOf). */
export type ProofStep = readonly Subtree[];

/** What the inclusion proof of a leaf consists of, from the leaf's sibling up. @throws RangeError */
export function inclusionSteps(index: number, size: number): readonly ProofStep[] {
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) throw new RangeError('no leaf');
  return path(index, 0, size);
}

/** PATH of RFC 6962, 2.1.1, over leaves [from, to). */
function path(index: number, from: number, to: number): ProofStep[] {
  if (to - from === 1) return [];
  const middle = from + splitOf(to - from);
  return index < middle
    ? [...path(index, from, middle), subtrees(middle, to)]
    : [...path(index, middle, to), subtrees(from, middle)];
}

/** What the proof consists of that a tree of `size` leaves continues one of `old`. @throws RangeError */
export function consistencySteps(old: number, size: number): readonly ProofStep[] {
  if (!Number.isSafeInteger(old) || old < 0 || old > size) throw new RangeError('no older tree');
  return old === 0 || old === size ? [] : subproof(old, 0, size, true);
}

/** SUBPROOF of RFC 6962, 2.1.2, over leaves [from, to). */
function subproof(old: number, from: number, to: number, whole: boolean): ProofStep[] {
  if (old === to) return whole ? [] : [subtrees(from, to)];
  const middle = from + splitOf(to - from);
  return old <= middle
    ? [...subproof(old, from, middle, whole), subtrees(middle, to)]
    : [...subproof(old, middle, to, false), subtrees(from, middle)];
}

/** The largest power of two below `count`, which is at least 2. */
const splitOf = (count: number): number => 2 ** levelOf(count - 1);

/** Of the largest power of two that is not above `count`; exact where Math.log2 rounds. */
function levelOf(count: number): number {
  let level = 0;
  while (2 ** (level + 1) <= count) level += 1;
  return level;
}

/** The hashes of a proof's steps. */
export function proofOf(
  steps: readonly ProofStep[],
  hashOf: HashOf<Uint8Array>,
): readonly Uint8Array[] {
  return steps.map((step) => rootOf(step.map(({ level, index }) => hashOf(level, index))));
}

/** Whether a leaf stands at `index` of a tree. Untrusted: everything but the tree. (RFC 9162, 2.1.3.2) */
export function verifyInclusion(claim: {
  readonly leafHash: Uint8Array;
  readonly index: number;
  readonly proof: readonly Uint8Array[];
  readonly tree: TreeHead;
}): boolean {
  const { index, proof, tree } = claim;
  if (!isSize(index) || !isSize(tree.size) || index >= tree.size) return false;
  let [at, last] = [index, tree.size - 1];
  let hash = claim.leafHash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      hash = nodeHash(sibling, hash);
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 && same(hash, tree.root);
}

/** Whether tree `to` continues tree `from`. Untrusted: the proof, and one of the two. (RFC 9162, 2.1.4.2) */
export function verifyConsistency(claim: {
  readonly from: TreeHead;
  readonly to: TreeHead;
  readonly proof: readonly Uint8Array[];
}): boolean {
  const { from, to, proof } = claim;
  if (!isSize(from.size) || !isSize(to.size) || from.size > to.size) return false;
  if (from.size === to.size) return proof.length === 0 && same(from.root, to.root);
  if (from.size === 0) return proof.length === 0 && same(from.root, emptyRoot);
  // A whole left subtree of the new tree is its own first hash.
  const hashes = isPowerOfTwo(from.size) ? [from.root, ...proof] : proof;
  const [first, ...rest] = hashes;
  if (first === undefined) return false;
  let [at, last] = [from.size - 1, to.size - 1];
  while (at % 2 === 1) [at, last] = [half(at), half(last)];
  let [old, now] = [first, first];
  for (const hash of rest) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      old = nodeHash(hash, old);
      now = nodeHash(hash, now);
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      now = nodeHash(now, hash);
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 && same(old, from.root) && same(now, to.root);
}

const isSize = (size: number): boolean => Number.isSafeInteger(size) && size >= 0;
/** Not by shifting: sizes may be beyond 32 bits. */
const half = (size: number): number => Math.floor(size / 2);
const isPowerOfTwo = (size: number): boolean => 2 ** levelOf(size) === size;
const same = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && timingSafeEqual(one, other);

/**
 * A receipt: one decision, proved alone and offline. A statement in canonical JSON is a leaf of a small Merkle tree
 * (RFC 6962) over the decisions that were recorded together; the worker signs the root, once for all of them.
 * docs/receipts.md has the format byte by byte, test/vectors/receipts holds it.
 */
import { createPublicKey, hash, verify } from 'node:crypto';

import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { callHash } from './call-hash.ts';
import { Verdict } from './call.ts';
import { canonical, type Json } from './json.ts';
import { commitment } from './record.ts';

/** Header that carries a receipt to a tool server. */
export const RECEIPT_HEADER = 'countersign-receipt';
/** Key of MCP's `_meta`: the receipt on the way to a tool server; `true` where an agent asks for one. */
export const RECEIPT_META = 'countersign/receipt';
/** Longer texts are no receipts. */
export const RECEIPT_CHARS_MAX = 4_096;

const PREFIX = 'csr1';
const SIGNATURE_BYTES = 64;
const HASH_BYTES = 32;
const HEAD_BYTES = 4;

const HashText = Type.String({ pattern: '^sha256:[0-9a-f]{64}$' });

/** What is signed of a decision; properties in ascending order, see decision.ts. */
export const ReceiptStatement = Type.Object(
  {
    /** Digest of the canonical arguments. */
    args_hash: HashText,
    /** Milliseconds UTC: the one time of the decision. */
    at: Type.Integer(),
    /** The commitment to this exact call that stands in the decision's leaf; `nonce` is its salt. */
    call: HashText,
    decision_id: Type.String(),
    /** Digest of the tool's definition as it was registered, empty for none. */
    definition_hash: Type.Union([HashText, Type.Literal('')]),
    /** Milliseconds UTC after which nothing may be done on the strength of it. */
    exp: Type.Integer(),
    /** The worker's public key (Ed25519), unpadded base64url: it is its own name. */
    key: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
    /** 32 random hex digits, different for each decision. */
    nonce: Type.String({ pattern: '^[0-9a-f]{32}$' }),
    /** Digest of the tenant's policy, empty where the decision ended before it. */
    policy: Type.Union([HashText, Type.Literal('')]),
    tenant: Type.String(),
    tool: Type.String(),
    upstream: Type.String(),
    v: Type.Literal(1),
    verdict: Verdict,
    worker: Type.String(),
  },
  { additionalProperties: false },
);
export type ReceiptStatement = Static<typeof ReceiptStatement>;

/** Canonical text of a statement whose properties stand in ascending order. */
export const statementText = (statement: ReceiptStatement): string => JSON.stringify(statement);

/** What a worker's key signs for a group of decisions. @param root 32 bytes */
export const signedText = (size: number, root: Uint8Array): string =>
  `countersign-receipt-1\n${size}\n${Buffer.from(root).toString('hex')}\n`;

/**
 * One receipt for each statement, with a single signature. At most 65535 statements.
 * @param sign gives the 64 bytes of the key that every statement names
 */
export function makeReceipts(
  statements: readonly string[],
  sign: (text: string) => Uint8Array,
): string[] {
  if (statements.length === 0) return [];
  const { root, paths } = treeOf(statements.map(leafHash));
  const signature = sign(signedText(statements.length, root));
  return statements.map((statement, index) => {
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt16BE(index, 0);
    head.writeUInt16BE(statements.length, 2);
    const proof = Buffer.concat([head, signature, ...(paths[index] ?? [])]);
    return `${PREFIX}.${Buffer.from(statement).toString('base64url')}.${proof.toString('base64url')}`;
  });
}

const leafHash = (statement: string): Buffer => hash('sha256', `\0${statement}`, 'buffer');
const LEVEL = Buffer.of(1);
const nodeHash = (left: Uint8Array, right: Uint8Array): Buffer =>
  hash('sha256', Buffer.concat([LEVEL, left, right]), 'buffer');

interface Tree {
  readonly root: Buffer;
  /** Siblings of each leaf, from the leaf to the root. */
  readonly paths: readonly Buffer[][];
}

/** The left half of a tree is the largest power of two below its size (RFC 6962, section 2.1). */
function treeOf(leaves: readonly Buffer[]): Tree {
  const [first = Buffer.alloc(0)] = leaves;
  if (leaves.length === 1) return { root: first, paths: [[]] };
  const middle = 2 ** Math.floor(Math.log2(leaves.length - 1));
  const left = treeOf(leaves.slice(0, middle));
  const right = treeOf(leaves.slice(middle));
  for (const path of left.paths) path.push(right.root);
  for (const path of right.paths) path.push(left.root);
  return { root: nodeHash(left.root, right.root), paths: [...left.paths, ...right.paths] };
}

const shape = Compile(ReceiptStatement);

/**
 * The statement of a receipt whose signature and commitment hold, undefined for any other text. Whether `key` is a
 * worker's, and whether the receipt is fresh and about this call, is the caller's to judge. Untrusted input.
 */
export function openReceipt(text: string): ReceiptStatement | undefined {
  if (text.length > RECEIPT_CHARS_MAX) return undefined;
  const [prefix, first = '', second = '', ...rest] = text.split('.');
  if (prefix !== PREFIX || rest.length > 0) return undefined;
  const bytes = bytesOf(first);
  const proof = bytesOf(second);
  if (bytes === undefined || proof === undefined) return undefined;
  const statement = bytes.toString('utf8');
  const read = Buffer.from(statement).equals(bytes) ? parseStatement(statement) : undefined;
  if (read === undefined) return undefined;
  const signed = signedIn(proof, leafHash(statement));
  if (signed === undefined || !bindsCall(read)) return undefined;
  const key = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: read.key },
    format: 'jwk',
  });
  return verify(null, Buffer.from(signed.text), key, signed.signature) ? read : undefined;
}

function parseStatement(text: string): ReceiptStatement | undefined {
  try {
    const value = JSON.parse(text) as Json;
    return shape.Check(value) && canonical(value) === text ? value : undefined;
  } catch {
    return undefined; // not JSON
  }
}

/** The signature of a proof and the text that it must be of (RFC 9162, section 2.1.3.2). */
function signedIn(
  proof: Buffer,
  leaf: Buffer,
): { readonly text: string; readonly signature: Buffer } | undefined {
  const from = HEAD_BYTES + SIGNATURE_BYTES;
  if (proof.length < from || (proof.length - from) % HASH_BYTES !== 0) return undefined;
  const size = proof.readUInt16BE(2);
  let index = proof.readUInt16BE(0);
  let last = size - 1;
  if (index > last) return undefined;
  let root = leaf;
  for (let at = from; at < proof.length; at += HASH_BYTES) {
    const sibling = proof.subarray(at, at + HASH_BYTES);
    if (last === 0) return undefined;
    if (index % 2 === 1 || index === last) {
      root = nodeHash(sibling, root);
      while (index % 2 === 0 && index !== 0) {
        index >>= 1;
        last >>= 1;
      }
    } else root = nodeHash(root, sibling);
    index >>= 1;
    last >>= 1;
  }
  if (last !== 0) return undefined;
  return { text: signedText(size, root), signature: proof.subarray(HEAD_BYTES, from) };
}

/** The commitment in the statement is the one to the call that the statement describes. */
function bindsCall(statement: ReceiptStatement): boolean {
  const { args_hash: argsHash, definition_hash: definitionHash, nonce, call } = statement;
  return commitment(nonce, 'call', callHash({ ...statement, argsHash, definitionHash })) === call;
}

/** Unpadded base64url in its one form. */
function bytesOf(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return text !== '' && bytes.toString('base64url') === text ? bytes : undefined;
}

/**
 * The proof of one record: that its entry stands in the chain of its tenant, at its place, under a checkpoint that
 * witnesses have cosigned. One file of at most 4 KiB, checked with a policy file and nothing else.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';

import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { type ChainEntry, entryHash, parseEntry, parseHash, showHash } from './chain.ts';
import { leafHash, verifyInclusion } from './merkle.ts';
import { parseTlogProof, type TlogProof, tlogProofText } from './tlog-proof.ts';
import { treeLeaf } from './tree-leaf.ts';
import type { WitnessPolicy } from './witness-policy.ts';
import { openCheckpoint, type OpenedCheckpoint } from './witnessed.ts';

/** A proof has at most this many bytes; an entry too long for it is left out, and its hash stands for it. */
export const RECORD_PROOF_BYTES_MAX = 4_096;
/** What an extra may unpack to; an entry is far below (architecture: records of at most 768 KiB). */
const EXTRA_BYTES_MAX = 1024 * 1024;

const Hash = Type.String({ pattern: '^sha256:[0-9a-f]{64}$' });
const strict = { additionalProperties: false };

/** The entry, and the hash of the row before it: together they give the row's own hash. */
const Whole = Type.Object({ entry: Type.String(), prev: Hash }, strict);
/** The row by its hash alone. */
const Named = Type.Object(
  { hash: Hash, sequence: Type.Integer({ minimum: 1 }), tenant: Type.String() },
  strict,
);

/** The row that is to be proved. */
export interface ProvedRow {
  readonly tenant: string;
  readonly sequence: number;
  /** As shown. */
  readonly hash: string;
  /** Undefined where the proof names the row by its hash alone. */
  readonly entry: ChainEntry | undefined;
}

/** The text of a proof. @param row the entry's text and the hash of the row before, as shown */
export function recordProof(
  row: { readonly entry: string; readonly prev: string },
  proof: Omit<TlogProof, 'extra'>,
): string {
  const text = tlogProofText({ ...proof, extra: pack({ entry: row.entry, prev: row.prev }) });
  if (Buffer.byteLength(text) <= RECORD_PROOF_BYTES_MAX) return text;
  const { tenant, sequence, hash } = rowOf(row) ?? { tenant: '', sequence: 0, hash: '' };
  return tlogProofText({ ...proof, extra: pack({ hash, sequence, tenant }) });
}

/**
 * malformed: not the proof of a record. not_signed: no log of the policy has signed the checkpoint, or a signature is
 * broken. not_witnessed: too few witnesses of the policy have. not_included: the record is not in that tree.
 */
export type ProofFault = 'malformed' | 'not_signed' | 'not_witnessed' | 'not_included';

export type CheckedProof =
  | { readonly holds: true; readonly row: ProvedRow; readonly under: OpenedCheckpoint }
  | { readonly holds: false; readonly finding: ProofFault };

/** Checks a proof against a policy, offline. Untrusted: the text. */
export function checkRecordProof(text: string, policy: WitnessPolicy): CheckedProof {
  const proof = parseTlogProof(text);
  const row = proof && unpack(proof.extra);
  if (proof === undefined || row === undefined) return { holds: false, finding: 'malformed' };
  const under = openCheckpoint(proof.checkpoint, policy);
  if (under === undefined) return { holds: false, finding: 'not_signed' };
  const { tenant, sequence } = row;
  const hash = parseHash(row.hash);
  const included =
    hash !== undefined &&
    verifyInclusion({
      leafHash: leafHash(treeLeaf({ kind: 'entry', tenant, sequence, hash })),
      index: proof.index,
      proof: proof.path,
      tree: under.checkpoint,
    });
  if (!included) return { holds: false, finding: 'not_included' };
  return under.witnessed ? { holds: true, row, under } : { holds: false, finding: 'not_witnessed' };
}

const pack = (value: Static<typeof Whole> | Static<typeof Named>): Uint8Array =>
  deflateRawSync(JSON.stringify(value));

const isWhole = Compile(Whole);
const isNamed = Compile(Named);

function unpack(extra: Uint8Array): ProvedRow | undefined {
  const value = read(extra);
  if (isWhole.Check(value)) return rowOf(value);
  return isNamed.Check(value) ? { ...value, entry: undefined } : undefined;
}

function read(extra: Uint8Array): unknown {
  try {
    return JSON.parse(inflateRawSync(extra, { maxOutputLength: EXTRA_BYTES_MAX }).toString('utf8'));
  } catch {
    return undefined; // not packed, or not JSON
  }
}

function rowOf({ entry: text, prev }: Static<typeof Whole>): ProvedRow | undefined {
  const entry = parseEntry(text);
  const before = parseHash(prev);
  if (entry === undefined || before === undefined) return undefined;
  const { tenant, sequence } = entry;
  return { tenant, sequence, hash: showHash(entryHash(before, text)), entry };
}

// A platform in memory, in the hands of its owner: chains of some tenants, the tree over them, the key of the log, and a
// witness that he does not own. He may rewrite whatever is his and export again; the witness cosigns what continues.

import { randomBytes } from 'node:crypto';

import { entryHash, entryText, FIRST_PREV, parseEntry, showHash } from '#contracts/chain.ts';
import { checkpointText } from '#contracts/checkpoint.ts';
import {
  EXPORT_FORMAT,
  type ExportManifest,
  type ExportRow,
  type LeafProof,
  MANIFEST_FILE,
  ROWS_FILE,
} from '#contracts/export.ts';
import {
  consistencySteps,
  inclusionSteps,
  leafHash,
  nodeHash,
  proofOf,
  rootOf,
  rootSubtrees,
} from '#contracts/merkle.ts';
import {
  COSIGNATURE_ED25519,
  NOTE_ED25519,
  noteOf,
  showVerifierKey,
  signatureLine,
  type SignerKey,
  verifierKeyOf,
} from '#contracts/note.ts';
import type { CommittingLeaf } from '#contracts/payload.ts';
import { type Redaction, redactor } from '#contracts/redaction.ts';
import { treeLeaf, type TreeLeaf } from '#contracts/tree-leaf.ts';
import type { ExportFiles } from '#contracts/verify-export.ts';
import { parseWitnessPolicy } from '#contracts/witness-policy.ts';
import { decisionRecord, tenantOf } from '#test/support/records.ts';

/** A row as the owner's database has it. */
export interface OwnedRow {
  body: string;
  kind: string;
  payload: string;
}

export type Files = Map<string, string>;

const freshKey = (name: string, type: number): SignerKey => ({ name, type, seed: randomBytes(32) });

export class OwnedLog {
  readonly chains = new Map<string, OwnedRow[]>();
  logKey = freshKey('log.example/owner', NOTE_ED25519);
  readonly witnessKey = freshKey('witness.example/w', COSIGNATURE_ED25519);
  leaves: TreeLeaf[] = [];
  /** By size of the tree. */
  readonly cosigned = new Map<number, string>();
  #clock = 1_700_000_000;

  get policy() {
    const log = showVerifierKey(verifierKeyOf(this.logKey));
    const witness = showVerifierKey(verifierKeyOf(this.witnessKey));
    return parseWitnessPolicy(`log ${log}\nwitness w ${witness}\nquorum w\n`);
  }

  append(tenant: string, count: number, leaf: Parameters<typeof decisionRecord>[1] = {}): void {
    const rows = this.chains.get(tenant) ?? [];
    this.chains.set(tenant, rows);
    for (let added = 0; added < count; added += 1) {
      const at = 1_700_000_000_000 + rows.length * 1_000;
      const record = decisionRecord(tenantOf(tenant), { ...leaf, leaf: { at, ...leaf.leaf } });
      rows.push({ body: record.leaf, kind: 'decision', payload: record.payload });
    }
  }

  /** The rows of a tenant, hashed as they lie there. */
  rows(tenant: string): (ExportRow & { readonly sequence: number })[] {
    let prev: Uint8Array = FIRST_PREV;
    return (this.chains.get(tenant) ?? []).map(({ body, kind, payload }, at) => {
      const source = { epoch: 'e', index: 0, sequence: at + 1, stream: 'DECISIONS' };
      const entry = entryText({ body, kind, sequence: at + 1, source, tenant });
      const before = showHash(prev);
      prev = entryHash(prev, entry);
      return { entry, hash: showHash(prev), prev: before, payload, sequence: at + 1 };
    });
  }

  /** Grows the tree by what is new, and lets the witness see it. Gives the checkpoint. */
  seal(): string {
    const heads: TreeLeaf[] = [];
    for (const tenant of [...this.chains.keys()].sort()) {
      const known = this.leaves.filter(
        (leaf) => leaf.tenant === tenant && leaf.kind === 'entry',
      ).length;
      const fresh = this.rows(tenant)
        .slice(known)
        .map(({ sequence, hash }): TreeLeaf => {
          return { kind: 'entry', tenant, sequence, hash: Buffer.from(hash.slice(7), 'hex') };
        });
      this.leaves.push(...fresh);
      const last = fresh.at(-1);
      if (last !== undefined) heads.push({ ...last, kind: 'head' });
    }
    this.leaves.push(...heads);
    const note = this.sign(this.leaves.length);
    this.cosign(note, this.leaves.length);
    return this.checkpoint(this.leaves.length);
  }

  /** The tree made anew from the chains as they are now. The owner signs; the witness is not asked. */
  rewrite(): void {
    this.leaves = [];
    const cosigned = new Map(this.cosigned);
    this.seal();
    this.cosigned.clear();
    for (const [size, line] of cosigned) this.cosigned.set(size, line);
  }

  sign(size: number, key = this.logKey): string {
    const text = checkpointText({ origin: key.name, size, root: this.root(size) });
    return noteOf(text, [signatureLine(text, key)]);
  }

  cosign(note: string, size: number, key = this.witnessKey): void {
    const text = note.slice(0, note.indexOf('\n\n') + 1);
    this.cosigned.set(size, signatureLine(text, key, (this.#clock += 1)));
  }

  checkpoint(size: number): string {
    return this.sign(size) + (this.cosigned.get(size) ?? '');
  }

  root(size: number): Uint8Array {
    return rootOf(rootSubtrees(size).map(({ level, index }) => this.#hashOf(level, index)));
  }

  proof(leaf: Pick<TreeLeaf, 'kind' | 'tenant' | 'sequence'>, size: number): LeafProof {
    const index = this.leaves.findIndex(
      ({ kind, tenant, sequence }) =>
        kind === leaf.kind && tenant === leaf.tenant && sequence === leaf.sequence,
    );
    return { index, path: proofOf(inclusionSteps(index, size), this.#hashOf).map(base64) };
  }

  consistency(from: number, to: number): string[] {
    return proofOf(consistencySteps(from, to), this.#hashOf).map(base64);
  }

  /** An export under the checkpoint of `size`, as the service makes it. */
  export(
    tenant: string,
    asked: {
      readonly size?: number;
      readonly since?: number;
      readonly filters?: ExportManifest['filters'];
      readonly bounds?: readonly [first: number, last: number];
      readonly payloads?: boolean;
      readonly redaction?: Redaction;
    } = {},
  ): Files {
    const { size = this.leaves.length, since, filters = {}, payloads = true } = asked;
    const masking =
      asked.redaction === undefined ? undefined : redactor(asked.redaction, () => 'hash');
    const all = this.rows(tenant);
    const sealed = this.leaves
      .slice(0, size)
      .findLast((leaf) => leaf.tenant === tenant && leaf.kind === 'head')!;
    const head = {
      sequence: sealed.sequence,
      hash: all[sealed.sequence - 1]?.hash ?? showHash(sealed.hash),
    };
    const [first, last] = asked.bounds ?? [1, head.sequence];
    const selection = filters.agent !== undefined;
    const completeness = selection ? 'selection' : asked.bounds === undefined ? 'whole' : 'range';
    const rows = all
      .slice(first - 1, last)
      .filter(({ entry }) => !selection || entry.includes(`"agent":"${filters.agent}"`))
      .map(({ entry, hash, prev, payload, sequence }): ExportRow => ({
        entry,
        hash,
        ...(selection
          ? { prev, proof: this.proof({ kind: 'entry', tenant, sequence }, size) }
          : {}),
        ...(payloads ? { payload: masking?.mask(leafOf(entry), payload!) ?? payload } : {}),
      }));
    const manifest: ExportManifest = {
      format: EXPORT_FORMAT,
      tenant,
      entries: 1,
      filters,
      completeness,
      payloads,
      ...(masking === undefined ? {} : { redaction: { rules: masking.rules } }),
      checkpoint: this.checkpoint(size),
      head: { ...head, ...this.proof({ kind: 'head', tenant, sequence: head.sequence }, size) },
      first,
      last,
      prev: first > 1 ? all[first - 2]!.hash : showHash(FIRST_PREV),
      ...(completeness === 'range' && last < head.sequence
        ? { last_proof: this.proof({ kind: 'entry', tenant, sequence: last }, size) }
        : {}),
      ...(since === undefined
        ? {}
        : { consistency: { size: since, path: this.consistency(since, size) } }),
      log_keys: [showVerifierKey(verifierKeyOf(this.logKey))],
      count: rows.length,
      files: [ROWS_FILE],
    };
    return new Map([
      [MANIFEST_FILE, JSON.stringify(manifest)],
      [ROWS_FILE, rows.map((row) => `${JSON.stringify(row)}\n`).join('')],
    ]);
  }

  readonly #hashOf = (level: number, index: number): Uint8Array => {
    if (level === 0) return leafHash(treeLeaf(this.leaves[index]!));
    return nodeHash(this.#hashOf(level - 1, index * 2), this.#hashOf(level - 1, index * 2 + 1));
  };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

export const filesOf = (files: Files): ExportFiles => ({
  text: async (name) => files.get(name),
  lines: (name) => {
    const text = files.get(name);
    if (text === undefined) return undefined;
    const lines = text.split('\n');
    if (lines.at(-1) === '') lines.pop();
    return (async function* () {
      yield* lines;
    })();
  },
});

const leafOf = (entry: string): CommittingLeaf => parseEntry(entry)!.body;

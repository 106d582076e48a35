/**
 * The chain of one tenant: gapless entries, each hashed together with the hash before it. Whoever holds one hash
 * holds everything up to it: no earlier byte can change, vanish or come in between. Format: docs/evidence.md.
 */
import { hash } from 'node:crypto';

import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { parseCanonical } from './canonical-text.ts';
import type { ApprovalEvent, ControlKind } from './subjects.ts';

/** What a chain holds. Readers MUST take an unknown kind for what it is: an entry they cannot explain. */
export type ChainKind =
  | 'decision'
  | 'outcome'
  | `approval.${ApprovalEvent}`
  | `control.${ControlKind}`;

/** Where a record came from. */
export const ChainSource = Type.Object(
  {
    /** Epoch of the stream: one that is made anew has another. */
    epoch: Type.String(),
    /** Index of the record within the stored message. */
    index: Type.Integer({ minimum: 0 }),
    sequence: Type.Integer({ minimum: 0 }),
    /** `chainer` for what the chainer itself appends. */
    stream: Type.String(),
  },
  { additionalProperties: false },
);
export type ChainSource = Static<typeof ChainSource>;

/** The source of what the chainer itself appends. */
export const CHAINER_SOURCE: ChainSource = { epoch: '', index: 0, sequence: 0, stream: 'chainer' };

/** What every leaf has, whatever its kind. */
const Body = Type.Object({
  at: Type.Integer(),
  commitments: Type.Record(Type.String(), Type.String()),
  id: Type.String(),
  kind: Type.String(),
  tenant: Type.String(),
});

export const ChainEntry = Type.Object(
  {
    /** The leaf of the record. */
    body: Body,
    kind: Type.String(),
    /** 1 is the first. */
    sequence: Type.Integer({ minimum: 1 }),
    source: ChainSource,
    tenant: Type.String(),
    v: Type.Literal(1),
  },
  { additionalProperties: false },
);
export type ChainEntry = Static<typeof ChainEntry>;

/** Entry text of a leaf: canonical JSON, provided that `body` is. */
export function entryText(entry: {
  readonly body: string;
  readonly kind: string;
  readonly sequence: number;
  readonly source: ChainSource;
  readonly tenant: string;
}): string {
  const { epoch, index, sequence, stream } = entry.source;
  return (
    `{"body":${entry.body},"kind":${JSON.stringify(entry.kind)},"sequence":${entry.sequence},` +
    `"source":{"epoch":${JSON.stringify(epoch)},"index":${index},"sequence":${sequence},` +
    `"stream":${JSON.stringify(stream)}},"tenant":${JSON.stringify(entry.tenant)},"v":1}`
  );
}

/** The exact text of the body in an entry text that entryText made. */
export function bodyText(entry: string): string {
  // Behind the body stand only names, numbers and ids: the last ',"kind":' is the entry's own.
  return entry.slice('{"body":'.length, entry.lastIndexOf(',"kind":'));
}

const INDEX_CHARS_MAX = 256;

/** Text of a leaf as an index column beside the entry holds it: short enough for an index, and without NUL. */
export function indexText(text: string): string {
  return text.slice(0, INDEX_CHARS_MAX).replaceAll('\0', '\ufffd').toWellFormed();
}

/** The latest time that a Date can hold, in milliseconds (ECMAScript, "Time Values and Time Range"). */
export const AT_MAX = 8_640_000_000_000_000;

export const HASH_BYTES = 32;
/** What the first entry of a chain is hashed with. */
export const FIRST_PREV: Uint8Array = new Uint8Array(HASH_BYTES);

/** SHA-256 over the 32 bytes of the hash before and the UTF-8 bytes of the entry. */
export function entryHash(prev: Uint8Array, entry: string | Uint8Array): Uint8Array {
  const bytes = typeof entry === 'string' ? Buffer.from(entry) : entry;
  // In one piece: a third less than a hash that is fed piece by piece.
  return hash('sha256', Buffer.concat([prev, bytes]), 'buffer');
}

/** `sha256:` and 64 hex digits. */
export const showHash = (hash: Uint8Array): string => `sha256:${Buffer.from(hash).toString('hex')}`;

/** The bytes of a shown hash, undefined for text that is none. */
export function parseHash(text: string): Uint8Array | undefined {
  return /^sha256:[0-9a-f]{64}$/.test(text) ? Buffer.from(text.slice(7), 'hex') : undefined;
}

const check = Compile(ChainEntry);

/** The entry in a text, undefined for one that is not the canonical text of an entry. */
export function parseEntry(text: string): ChainEntry | undefined {
  const value = parseCanonical(text);
  return check.Check(value) ? value : undefined;
}

/** One entry as it is stored and exported. */
export interface ChainRow {
  readonly entry: string;
  /** As shown. */
  readonly hash: string;
}

/** Where a chain ends. */
export interface ChainHead {
  readonly sequence: number;
  readonly hash: string;
}

/**
 * entry_malformed: not the canonical text of an entry. tenant_wrong: of another chain. rows_missing: entries before it
 * are gone. row_repeated: its place was taken already. hash_wrong: entry, its hash or what came before was changed.
 * tail_missing: the head knows more. head_wrong: the head knows another last entry.
 */
export type ChainFault =
  | 'entry_malformed'
  | 'tenant_wrong'
  | 'rows_missing'
  | 'row_repeated'
  | 'hash_wrong'
  | 'tail_missing'
  | 'head_wrong';

/** The first bad place: the sequence that should stand there, and what is wrong. */
export interface ChainFinding {
  readonly sequence: number;
  readonly fault: ChainFault;
}

/** Checks a chain row by row, so that a chain of any length needs no memory. */
export interface ChainVerifier {
  /** The entry of the next row, or what is wrong with it; after a finding nothing later means anything. */
  readonly next: (row: ChainRow) => { readonly entry: ChainEntry } | ChainFinding;
  /** What is wrong at the end of all rows. Without a head that somebody else holds, a cut tail cannot be seen. */
  readonly end: (head?: ChainHead) => ChainFinding | undefined;
  /** The last good row. */
  readonly head: () => ChainHead;
}

/** @param from the head that the first row must follow; without it the chain must begin at its beginning */
export function chainVerifier(tenant: string, from?: ChainHead): ChainVerifier {
  let sequence = from?.sequence ?? 0;
  let last: Uint8Array = from === undefined ? FIRST_PREV : (parseHash(from.hash) ?? FIRST_PREV);
  const found = (fault: ChainFault): ChainFinding => ({ sequence: sequence + 1, fault });
  return {
    next: ({ entry: text, hash }) => {
      const entry = parseEntry(text);
      if (entry === undefined) return found('entry_malformed');
      const { body, kind } = entry;
      if (body.kind !== kind || body.tenant !== entry.tenant) return found('entry_malformed');
      if (entry.tenant !== tenant) return found('tenant_wrong');
      if (entry.sequence > sequence + 1) return found('rows_missing');
      if (entry.sequence <= sequence) return found('row_repeated');
      const right = entryHash(last, text);
      if (showHash(right) !== hash) return found('hash_wrong');
      sequence += 1;
      last = right;
      return { entry };
    },
    end: (head) => {
      if (head === undefined) return undefined;
      if (head.sequence > sequence) return found('tail_missing');
      const same = head.sequence === sequence && head.hash === showHash(last);
      return same ? undefined : { sequence: head.sequence, fault: 'head_wrong' };
    },
    head: () => ({ sequence, hash: showHash(last) }),
  };
}

/** The first bad place of a whole chain, undefined when it is intact. */
export function verifyChain(
  tenant: string,
  rows: Iterable<ChainRow>,
  head?: ChainHead,
): ChainFinding | undefined {
  const verifier = chainVerifier(tenant);
  for (const row of rows) {
    const result = verifier.next(row);
    if ('fault' in result) return result;
  }
  return verifier.end(head);
}

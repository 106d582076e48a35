/**
 * What an auditor takes away: rows of one tenant's chain and what proves them, in a folder.
 *
 *     manifest.json    what it is, under which checkpoint, with which proofs
 *     rows.ndjson      one row a line, in the order of the chain
 *     rows.csv         the same rows for people, where it was asked for; follows from rows.ndjson
 *
 * Format: docs/evidence.md. How it is verified: verify-export.ts.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { type ChainEntry, parseEntry } from './chain.ts';

export const EXPORT_FORMAT = 'countersign-export/1';

const Hash = Type.String({ pattern: '^sha256:[0-9a-f]{64}$' });
/** A hash of the tree in base64. */
const Node = Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$' });
const Count = Type.Integer({ minimum: 0 });
const strict = { additionalProperties: false };

/** That a leaf stands in the tree of the checkpoint: its index, and the hashes from its sibling up. */
export const LeafProof = Type.Object({ index: Count, path: Type.Array(Node) }, strict);
export type LeafProof = Static<typeof LeafProof>;

/**
 * whole: every row from the first to the head. range: every row between two, gapless. selection: rows that fit a
 * filter, each proved alone; that none is left out of it cannot be proved.
 */
export const Completeness = Type.Union([
  Type.Literal('whole'),
  Type.Literal('range'),
  Type.Literal('selection'),
]);

/** What was asked for; empty = everything. Times are RFC 3339, `from` included, `to` not. */
export const ExportFilters = Type.Object(
  {
    from: Type.Optional(Type.String({ format: 'date-time' })),
    to: Type.Optional(Type.String({ format: 'date-time' })),
    agent: Type.Optional(Type.String()),
    verdict: Type.Optional(Type.String()),
  },
  strict,
);
export type ExportFilters = Static<typeof ExportFilters>;

/** What the server says before the first row: the same for each part of an export that was broken off. */
export const ExportHeader = Type.Object(
  {
    format: Type.Literal(EXPORT_FORMAT),
    tenant: Type.String(),
    /** Version of the entries. */
    entries: Type.Literal(1),
    filters: ExportFilters,
    completeness: Completeness,
    payloads: Type.Boolean(),
    /** There where payloads are masked: digest of the rules by which. */
    redaction: Type.Optional(Type.Object({ rules: Hash }, strict)),
    /** Signed note with cosignatures. */
    checkpoint: Type.String(),
    /** Where the tenant's chain ended under it. */
    head: Type.Object({ sequence: Count, hash: Hash, ...LeafProof.properties }, strict),
    /** First and last sequence between which rows were taken; 0 and 0 when none can be. */
    first: Count,
    last: Count,
    /** Of whole and range: hash of the row before the first, and that the last is in the tree. */
    prev: Hash,
    last_proof: Type.Optional(LeafProof),
    /** That the tree of the checkpoint continues an older one that the asker holds. */
    consistency: Type.Optional(Type.Object({ size: Count, path: Type.Array(Node) }, strict)),
    /** Keys that the log has signed with, the one of this checkpoint last. */
    log_keys: Type.Array(Type.String(), { minItems: 1 }),
  },
  strict,
);
export type ExportHeader = Static<typeof ExportHeader>;

export const ExportManifest = Type.Object(
  {
    ...ExportHeader.properties,
    /** Rows of the export. */
    count: Count,
    files: Type.Array(Type.String()),
  },
  strict,
);
export type ExportManifest = Static<typeof ExportManifest>;

/** One row. In a selection each carries the hash before it and its place in the tree. */
export const ExportRow = Type.Object(
  {
    entry: Type.String(),
    hash: Hash,
    prev: Type.Optional(Hash),
    proof: Type.Optional(LeafProof),
    /** Exact text, masked by `redaction`; null where there is none (any more), absent where none were asked for. */
    payload: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  },
  strict,
);
export type ExportRow = Static<typeof ExportRow>;

/** The last line of the server's stream: without it the stream broke off. */
export interface ExportEnd {
  readonly end: { readonly rows: number };
}

const isHeader = Compile(ExportHeader);
const isManifest = Compile(ExportManifest);
const isRow = Compile(ExportRow);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Undefined for a text that is none. Untrusted. */
export function parseHeader(text: string): ExportHeader | undefined {
  const value = parsed(text);
  return isHeader.Check(value) ? value : undefined;
}

/** Undefined for a text that is none. Untrusted. */
export function parseManifest(text: string): ExportManifest | undefined {
  const value = parsed(text);
  return isManifest.Check(value) ? value : undefined;
}

/** Undefined for a line that is none. Untrusted. */
export function parseExportRow(line: string): ExportRow | undefined {
  const value = parsed(line);
  return isRow.Check(value) ? value : undefined;
}

export const MANIFEST_FILE = 'manifest.json';
export const ROWS_FILE = 'rows.ndjson';
export const CSV_FILE = 'rows.csv';

export const CSV_HEADING =
  'sequence,time,kind,id,decision_id,agent,person,tool,upstream,verdict,reason,hash';

/** One line of the CSV; follows from the row alone. A row that is no entry gives an empty line. */
export function csvLine({ entry: text, hash }: ExportRow): string {
  const entry = parseEntry(text);
  if (entry === undefined) return '';
  return cellsOf(entry, hash).map(csvCell).join(',');
}

function cellsOf({ body, kind, sequence }: ChainEntry, hash: string): string[] {
  const leaf = body as Readonly<Record<string, unknown>>;
  const text = (name: string) => (typeof leaf[name] === 'string' ? leaf[name] : '');
  const decides = kind === 'decision';
  return [
    String(sequence),
    new Date(body.at).toISOString(),
    kind,
    body.id,
    decides ? body.id : text('decision_id'),
    text('agent'),
    decides ? text('person') : text('by'),
    text('tool'),
    text('upstream'),
    text('verdict'),
    decides ? text('reason') : text('status') || text('state') || text('action'),
    hash,
  ];
}

/** RFC 4180; what a spreadsheet would take for a formula gets an apostrophe before it. */
function csvCell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

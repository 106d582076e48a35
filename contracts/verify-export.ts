/**
 * Verifies an export against a policy file: offline, with no key of ours, row by row in bounded memory. It says intact
 * only of what it has proved; see `Verified.completeness` for what that covers.
 */
import {
  type ChainEntry,
  type ChainFault,
  chainVerifier,
  entryHash,
  FIRST_PREV,
  parseEntry,
  parseHash,
  showHash,
} from './chain.ts';
import {
  CSV_FILE,
  CSV_HEADING,
  csvLine,
  type ExportManifest,
  type ExportRow,
  type LeafProof,
  MANIFEST_FILE,
  parseExportRow,
  parseManifest,
  ROWS_FILE,
} from './export.ts';
import { leafHash, verifyConsistency, verifyInclusion } from './merkle.ts';
import { showVerifierKey } from './note.ts';
import { type CommittingLeaf, payloadFault } from './payload.ts';
import { maskedFault } from './redaction.ts';
import { treeLeaf, type TreeLeaf } from './tree-leaf.ts';
import type { WitnessPolicy } from './witness-policy.ts';
import { openCheckpoint, type OpenedCheckpoint } from './witnessed.ts';

/** The files of an export. */
export interface ExportFiles {
  /** Undefined where there is no such file. */
  readonly text: (name: string) => Promise<string | undefined>;
  /** Lines without their breaks; undefined where there is no such file. The last one may be cut. */
  readonly lines: (name: string) => AsyncIterable<string> | undefined;
}

/** Why it is not intact. The kinds of rows are those of the chain (ChainFault). */
export type ExportFault =
  | ChainFault
  | 'manifest_malformed'
  | 'checkpoint_wrong'
  | 'key_wrong'
  | 'head_not_in_tree'
  | 'row_not_in_tree'
  | 'row_malformed'
  | 'row_outside'
  | 'payload_wrong'
  | 'count_wrong'
  | 'csv_wrong'
  | 'rolled_back'
  | 'forked';

/** What is needed to call it intact, and is not there. */
export type ExportLack =
  | 'file_missing'
  | 'rows_missing_at_end'
  | 'not_witnessed'
  | 'consistency_missing';

/** The first bad place. */
export interface ExportFinding {
  readonly file: string;
  /** Counted from 1; 0 = the file as a whole. */
  readonly line: number;
  /** Of the row that should stand there; 0 = none. */
  readonly sequence: number;
  readonly kind: ExportFault | ExportLack;
  readonly detail: string;
}

/** What was proved. */
export interface Verified {
  readonly tenant: string;
  readonly completeness: ExportManifest['completeness'];
  readonly rows: number;
  readonly first: number;
  readonly last: number;
  /** Rows whose payload was checked against its leaf, and rows whose payload is not there any more. */
  readonly payloads: number;
  readonly erased: number;
  /** Rows whose payload is masked: what is shown of a masked section is not proved. */
  readonly masked: number;
  readonly under: OpenedCheckpoint;
}

export type ExportVerdict =
  | { readonly verdict: 'intact'; readonly proved: Verified }
  | { readonly verdict: 'tampered' | 'incomplete'; readonly finding: ExportFinding };

/**
 * @param against an earlier checkpoint that the auditor holds, opened under the same policy: the export has to continue it
 * @throws whatever reading the files throws: then nothing can be said
 */
export async function verifyExport(
  files: ExportFiles,
  policy: WitnessPolicy,
  against?: OpenedCheckpoint,
): Promise<ExportVerdict> {
  try {
    return { verdict: 'intact', proved: await prove(files, policy, against) };
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    const { lacks, finding } = fault;
    return { verdict: lacks ? 'incomplete' : 'tampered', finding };
  }
}

/** A finding on its way out. */
class Fault extends Error {
  readonly lacks: boolean;
  readonly finding: ExportFinding;
  constructor(
    kind: ExportFinding['kind'],
    at: Partial<Omit<ExportFinding, 'kind'>>,
    lacks = false,
  ) {
    super(kind);
    this.lacks = lacks;
    this.finding = { file: MANIFEST_FILE, line: 0, sequence: 0, detail: '', ...at, kind };
  }
}

async function prove(
  files: ExportFiles,
  policy: WitnessPolicy,
  against: OpenedCheckpoint | undefined,
): Promise<Verified> {
  const text = await files.text(MANIFEST_FILE);
  if (text === undefined) throw new Fault('file_missing', { detail: MANIFEST_FILE }, true);
  const manifest = parseManifest(text);
  if (manifest === undefined) throw new Fault('manifest_malformed', {});
  const under = openCheckpoint(manifest.checkpoint, policy);
  if (under === undefined) throw new Fault('checkpoint_wrong', { detail: whyNot(manifest) });
  if (manifest.log_keys.at(-1) !== showVerifierKey(under.log)) throw new Fault('key_wrong', {});
  if (!under.witnessed) throw new Fault('not_witnessed', {}, true);
  if (against !== undefined) checkContinues(manifest, under, against);
  checkShape(manifest);

  const { tenant, head } = manifest;
  const hash = parseHash(head.hash) ?? new Uint8Array();
  if (!isIn(under, { kind: 'head', tenant, sequence: head.sequence, hash }, head))
    throw new Fault('head_not_in_tree', { sequence: head.sequence });

  const lines = files.lines(ROWS_FILE);
  if (lines === undefined) throw new Fault('file_missing', { detail: ROWS_FILE }, true);
  const counts =
    manifest.completeness === 'selection'
      ? await proveSelection(lines, manifest, under)
      : await proveRun(lines, manifest, under);
  if (counts.rows !== manifest.count)
    throw new Fault('count_wrong', { detail: `${counts.rows} rows, ${manifest.count} are said` });
  if (manifest.files.includes(CSV_FILE)) await checkCsv(files);
  const { completeness, first, last } = manifest;
  return { tenant, completeness, first, last, under, ...counts };
}

/** Why a checkpoint is not one of the policy's log, as far as it can be told. */
function whyNot({ checkpoint }: ExportManifest): string {
  const origin = checkpoint.slice(0, checkpoint.indexOf('\n'));
  return `no log of the policy has signed this note of "${origin.slice(0, 200)}", or a signature is broken`;
}

function checkContinues(
  { consistency }: ExportManifest,
  { checkpoint: to }: OpenedCheckpoint,
  { checkpoint: from }: OpenedCheckpoint,
): void {
  if (from.origin !== to.origin)
    throw new Fault('forked', { detail: `of another log: ${to.origin}` });
  if (to.size < from.size)
    throw new Fault('rolled_back', { detail: `${to.size} leaves, ${from.size} were witnessed` });
  const given = consistency?.size === from.size;
  if (!given && to.size !== from.size)
    throw new Fault(
      'consistency_missing',
      { detail: `no proof from ${from.size} leaves on` },
      true,
    );
  const proof = given ? consistency.path.map(bytesOf) : [];
  if (!verifyConsistency({ from, to, proof }))
    throw new Fault('forked', { detail: `does not continue the tree of ${from.size} leaves` });
}

/** What a manifest says of itself has to fit together before rows are held against it. */
function checkShape(manifest: ExportManifest): void {
  const { completeness, first, last, head, filters } = manifest;
  const filtered = filters.agent !== undefined || filters.verdict !== undefined;
  const timed = filters.from !== undefined || filters.to !== undefined;
  const whole = completeness === 'whole';
  const fits = whole
    ? !filtered && !timed && first === Math.min(1, head.sequence) && last === head.sequence
    : last <= head.sequence && first <= last && (completeness === 'selection') === filtered;
  const begins = first > 1 || manifest.prev === showHash(FIRST_PREV);
  const masksNothing = manifest.redaction !== undefined && !manifest.payloads;
  if (!fits || !begins || masksNothing)
    throw new Fault('manifest_malformed', { detail: 'its parts contradict each other' });
}

interface Counts {
  rows: number;
  payloads: number;
  erased: number;
  masked: number;
}

const NONE: Counts = { rows: 0, payloads: 0, erased: 0, masked: 0 };

/** Every row from `first` to `last`: the chain itself proves that none is missing between. */
async function proveRun(
  lines: AsyncIterable<string>,
  manifest: ExportManifest,
  under: OpenedCheckpoint,
): Promise<Counts> {
  const { tenant, first, last, prev, head } = manifest;
  const counts = { ...NONE };
  const from = first <= 1 ? undefined : { sequence: first - 1, hash: prev };
  const chain = chainVerifier(tenant, from);
  for await (const { row, line } of rowsOf(lines)) {
    const sequence = Math.max(first, 1) + counts.rows;
    if (sequence > last) throw new Fault('row_outside', { ...line, sequence });
    const result = chain.next(row);
    if ('fault' in result) throw new Fault(result.fault, { ...line, sequence: result.sequence });
    countPayload(counts, row, { entry: result.entry, at: { ...line, sequence }, manifest });
    counts.rows += 1;
  }
  const end = chain.head();
  if (last > 0 && end.sequence < last) {
    const detail = `rows ${end.sequence + 1} to ${last} are missing`;
    throw new Fault(
      'rows_missing_at_end',
      { file: ROWS_FILE, sequence: end.sequence + 1, detail },
      true,
    );
  }
  if (last === head.sequence) {
    const wrong = last > 0 && end.hash !== head.hash;
    if (wrong) throw new Fault('head_wrong', { file: ROWS_FILE, sequence: last });
    return counts;
  }
  if (last === 0) return counts; // nothing falls into that time
  const hash = parseHash(end.hash) ?? new Uint8Array();
  const leaf = { kind: 'entry', tenant, sequence: last, hash } as const;
  if (manifest.last_proof === undefined || !isIn(under, leaf, manifest.last_proof))
    throw new Fault('row_not_in_tree', { file: ROWS_FILE, sequence: last });
  return counts;
}

/** Each row by its own proof; in ascending order, so that none stands there twice. */
async function proveSelection(
  lines: AsyncIterable<string>,
  manifest: ExportManifest,
  under: OpenedCheckpoint,
): Promise<Counts> {
  const { tenant, first, last, filters } = manifest;
  const counts = { ...NONE };
  let before = 0;
  for await (const { row, line } of rowsOf(lines)) {
    const entry = parseEntry(row.entry);
    if (entry === undefined) throw new Fault('entry_malformed', line);
    const { sequence, body, kind } = entry;
    const at = { ...line, sequence };
    if (entry.tenant !== tenant || body.tenant !== tenant) throw new Fault('tenant_wrong', at);
    if (sequence <= before) throw new Fault('row_repeated', at);
    if (sequence < first || sequence > last) throw new Fault('row_outside', at);
    const prev = parseHash(row.prev ?? '');
    const hash = prev && entryHash(prev, row.entry);
    if (hash === undefined || showHash(hash) !== row.hash) throw new Fault('hash_wrong', at);
    const proof = row.proof;
    if (proof === undefined || !isIn(under, { kind: 'entry', tenant, sequence, hash }, proof))
      throw new Fault('row_not_in_tree', at);
    const leaf = body as { readonly agent?: unknown; readonly verdict?: unknown };
    const fits =
      (filters.agent === undefined || leaf.agent === filters.agent) &&
      (filters.verdict === undefined || leaf.verdict === filters.verdict);
    if (!fits || body.kind !== kind) throw new Fault('row_outside', at);
    countPayload(counts, row, { entry, at, manifest });
    counts.rows += 1;
    before = sequence;
  }
  return counts;
}

interface Line {
  readonly file: string;
  readonly line: number;
}

async function* rowsOf(
  lines: AsyncIterable<string>,
): AsyncGenerator<{ readonly row: ExportRow; readonly line: Line }> {
  let at = 0;
  for await (const text of lines) {
    at += 1;
    const line = { file: ROWS_FILE, line: at };
    const row = parseExportRow(text);
    if (row === undefined) throw new Fault('row_malformed', line);
    yield { row, line };
  }
}

function countPayload(
  counts: Counts,
  { payload }: ExportRow,
  { entry, at, manifest }: RowAt,
): void {
  if ((payload !== undefined) !== manifest.payloads) throw new Fault('row_malformed', at);
  if (payload === undefined) return;
  if (payload === null) {
    counts.erased += 1;
    return;
  }
  const masked = manifest.redaction !== undefined;
  const leaf = entry.body as unknown as CommittingLeaf;
  const fault = masked ? maskedFault(leaf, payload) : payloadFault(leaf, payload);
  if (fault !== '') throw new Fault('payload_wrong', { ...at, detail: fault });
  counts[masked ? 'masked' : 'payloads'] += 1;
}

/** A row that is good so far. */
interface RowAt {
  readonly entry: ChainEntry;
  readonly at: Line & { readonly sequence: number };
  /** Says whether payloads are there, and whether they are masked. */
  readonly manifest: ExportManifest;
}

async function checkCsv(files: ExportFiles): Promise<void> {
  const rows = files.lines(ROWS_FILE);
  const cells = files.lines(CSV_FILE);
  if (cells === undefined || rows === undefined)
    throw new Fault('file_missing', { detail: CSV_FILE }, true);
  const csv = cells[Symbol.asyncIterator]();
  let line = 0;
  const expect = async (text: string | undefined) => {
    line += 1;
    const next = await csv.next();
    const found = next.done === true ? undefined : next.value;
    if (found !== text) throw new Fault('csv_wrong', { file: CSV_FILE, line });
  };
  await expect(CSV_HEADING);
  for await (const { row } of rowsOf(rows))
    for (const part of csvLine(row).split('\n')) await expect(part);
  await expect(undefined);
}

function isIn(
  { checkpoint }: OpenedCheckpoint,
  leaf: TreeLeaf,
  { index, path }: LeafProof,
): boolean {
  const proof = path.map(bytesOf);
  return verifyInclusion({ leafHash: leafHash(treeLeaf(leaf)), index, proof, tree: checkpoint });
}

const bytesOf = (base64: string): Uint8Array => Buffer.from(base64, 'base64');

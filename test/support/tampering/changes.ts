// Changes of the files of an export, each as small as it can be.

import { entryHash, showHash } from '#contracts/chain.ts';
import {
  CSV_FILE,
  CSV_HEADING,
  csvLine,
  type ExportManifest,
  type ExportRow,
  MANIFEST_FILE,
  ROWS_FILE,
} from '#contracts/export.ts';
import type { Files } from '#test/support/owned-log.ts';

const manifestOf = (files: Files) => JSON.parse(files.get(MANIFEST_FILE)!) as ExportManifest;
export const rowsOf = (files: Files) =>
  files
    .get(ROWS_FILE)!
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as ExportRow);

export function withManifest(files: Files, change: (manifest: ExportManifest) => object): Files {
  return new Map(files).set(
    MANIFEST_FILE,
    JSON.stringify({ ...manifestOf(files), ...change(manifestOf(files)) }),
  );
}

export function withRows(files: Files, change: (rows: ExportRow[]) => readonly unknown[]): Files {
  const text = change(rowsOf(files))
    .map((row) => `${JSON.stringify(row)}\n`)
    .join('');
  return new Map(files).set(ROWS_FILE, text);
}

export const AT = 4; // the row that is tampered with: the fifth, after the checkpoint that the auditor holds
export const withRow = (files: Files, change: (row: ExportRow) => object) =>
  withRows(files, (rows) => rows.map((row, at) => (at === AT ? { ...row, ...change(row) } : row)));

export const withLeaf = (files: Files, name: string, value: unknown) =>
  withRow(files, ({ entry }) => {
    const parsed = JSON.parse(entry) as { body: Record<string, unknown> };
    return { entry: JSON.stringify({ ...parsed, body: { ...parsed.body, [name]: value } }) };
  });

/** Hashes from a row on made anew, as somebody does who knows the format. */
export function rehashed(files: Files, from: number): Files {
  return withRows(files, (rows) => {
    for (const [at, row] of rows.entries()) {
      if (at < from) continue;
      const prev = at === 0 ? new Uint8Array(32) : Buffer.from(rows[at - 1]!.hash.slice(7), 'hex');
      rows[at] = { ...row, hash: showHash(entryHash(prev, row.entry)) };
    }
    return rows;
  });
}

export const swapped = <T>(all: readonly T[], one: number, other: number): T[] =>
  all.map((_, at) => all[at === one ? other : at === other ? one : at]!);
export const flip = (base64: string) =>
  base64.startsWith('A') ? `B${base64.slice(1)}` : `A${base64.slice(1)}`;
export const withNote = (files: Files, change: (note: string) => string) =>
  withManifest(files, ({ checkpoint }) => ({ checkpoint: change(checkpoint) }));
export const lineOfNote = (at: number, change: (line: string) => string) => (note: string) =>
  note
    .split('\n')
    .map((line, n) => (n === at ? change(line) : line))
    .join('\n');

export function withCsv(files: Files, change: (csv: string) => string): Files {
  const csv = [CSV_HEADING, ...rowsOf(files).map(csvLine), ''].join('\n');
  return withManifest(files, () => ({ files: [ROWS_FILE, CSV_FILE] })).set(CSV_FILE, change(csv));
}

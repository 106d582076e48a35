// The folder of an export: written so that a broken one goes on where it was, read line by line whatever its length.

import {
  createReadStream,
  createWriteStream,
  existsSync,
  readFileSync,
  truncateSync,
} from 'node:fs';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isDeepStrictEqual } from 'node:util';

import { linesOf } from '#cli/lines.ts';
import { CliError, EXIT } from '#cli/output.ts';
import { parseEntry } from '#contracts/chain.ts';
import {
  CSV_FILE,
  CSV_HEADING,
  csvLine,
  type ExportHeader,
  MANIFEST_FILE,
  parseExportRow,
  parseHeader,
  ROWS_FILE,
} from '#contracts/export.ts';
import type { ExportFiles } from '#contracts/verify-export.ts';

/** Header of an export that is not whole yet. */
const PART_FILE = 'manifest.part.json';
const ATHENA_FILE = 'athena.sql';

/** What there is of an export. */
export interface Begun {
  readonly header: ExportHeader | undefined;
  /** Sequence of the last row that is there whole, 0 for none. */
  readonly after: number;
  readonly rows: number;
}

/** What a folder holds of an export, cut behind its last whole line. Throws CliError for one that is finished. */
export async function begunIn(dir: string): Promise<Begun> {
  if (existsSync(join(dir, MANIFEST_FILE))) {
    throw new CliError(`${dir} holds a finished export.`, {
      exitCode: EXIT.misuse,
      help: 'name another folder',
    });
  }
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const part = join(dir, PART_FILE);
  const header = existsSync(part) ? parseHeader(readFileSync(part, 'utf8')) : undefined;
  const file = join(dir, ROWS_FILE);
  if (header === undefined || !existsSync(file)) {
    await rm(file, { force: true });
    return { header, after: 0, rows: 0 };
  }
  let [bytes, rows, after] = [0, 0, 0];
  let last = '';
  for await (const line of wholeLines(file)) {
    bytes += Buffer.byteLength(line) + 1;
    rows += 1;
    last = line;
  }
  truncateSync(file, bytes);
  if (rows > 0) after = parseEntry(parseExportRow(last)?.entry ?? '')?.sequence ?? 0;
  return { header, after, rows };
}

/** Keeps the header of an export that begins, or sees that the one that goes on is the same. Throws CliError. */
export async function keepHeader(dir: string, { header: before }: Begun, header: ExportHeader) {
  if (before === undefined) return writeFile(join(dir, PART_FILE), JSON.stringify(header));
  if (isDeepStrictEqual(said(before), said(header))) return undefined;
  throw new CliError(`${dir} holds part of another export.`, {
    exitCode: EXIT.misuse,
    help: 'ask as before, or name another folder',
  });
}

/** Without the signature lines: a witness may have cosigned the same checkpoint again meanwhile. */
const said = (header: ExportHeader): ExportHeader => ({
  ...header,
  checkpoint: header.checkpoint.slice(0, header.checkpoint.indexOf('\n\n')),
});

/** Appends lines of rows as they come; the folder holds whatever came when it breaks off. */
export async function appendRows(dir: string, lines: AsyncIterable<string>): Promise<void> {
  const withBreaks = async function* () {
    for await (const line of lines) yield `${line}\n`;
  };
  const file = createWriteStream(join(dir, ROWS_FILE), { flags: 'a', flush: true });
  await pipeline(Readable.from(withBreaks()), file);
}

/** Makes the export whole: the CSV if it is wanted, the table definition, the manifest last. */
export async function finish(
  dir: string,
  header: ExportHeader,
  made: { readonly count: number; readonly csv: boolean },
): Promise<void> {
  const files = [ROWS_FILE, ...(made.csv ? [CSV_FILE] : [])];
  if (made.csv) await writeCsv(dir);
  await writeFile(join(dir, ATHENA_FILE), ATHENA);
  const manifest = { ...header, count: made.count, files };
  const beside = join(dir, `${MANIFEST_FILE}.new`);
  await writeFile(beside, `${JSON.stringify(manifest, null, 2)}\n`, { flush: true });
  await rename(beside, join(dir, MANIFEST_FILE));
  await rm(join(dir, PART_FILE));
}

async function writeCsv(dir: string): Promise<void> {
  const lines = async function* () {
    yield `${CSV_HEADING}\n`;
    for await (const line of wholeLines(join(dir, ROWS_FILE))) {
      const row = parseExportRow(line);
      if (row !== undefined) yield `${csvLine(row)}\n`;
    }
  };
  await pipeline(Readable.from(lines()), createWriteStream(join(dir, CSV_FILE)));
}

/** Lines that end in a break; what stands behind the last one is half a line. */
async function* wholeLines(file: string): AsyncGenerator<string> {
  const handle = await open(file);
  const { size } = await handle.stat();
  const ends = size > 0 && (await handle.read(Buffer.alloc(1), 0, 1, size - 1)).buffer[0] === 10;
  await handle.close();
  let before: string | undefined;
  for await (const line of linesOf(createReadStream(file))) {
    if (before !== undefined) yield before;
    before = line;
  }
  if (before !== undefined && ends) yield before;
}

/** The files of an export as the verifier reads them. */
export const exportFiles = (dir: string): ExportFiles => ({
  text: async (name) =>
    existsSync(join(dir, name)) ? readFile(join(dir, name), 'utf8') : undefined,
  lines: (name) =>
    existsSync(join(dir, name)) ? linesOf(createReadStream(join(dir, name))) : undefined,
});

/** How Amazon Athena reads the rows where they were copied to S3. */
const ATHENA = `-- Rows of a Countersign export for Amazon Athena. Copy ${ROWS_FILE} to S3 and put its folder below.
-- Whether the rows are still what was recorded says only \`countersign audit verify\`.
create external table countersign_rows (
  entry string,
  hash string
)
row format serde 'org.openx.data.jsonserde.JsonSerDe'
location 's3://YOUR-BUCKET/countersign/';

create or replace view countersign_decisions as
select
  cast(json_extract_scalar(entry, '$.sequence') as bigint) as sequence,
  from_unixtime(cast(json_extract_scalar(entry, '$.body.at') as bigint) / 1e3) as at,
  json_extract_scalar(entry, '$.body.id') as decision_id,
  json_extract_scalar(entry, '$.body.agent') as agent,
  json_extract_scalar(entry, '$.body.person') as person,
  json_extract_scalar(entry, '$.body.tool') as tool,
  json_extract_scalar(entry, '$.body.upstream') as upstream,
  json_extract_scalar(entry, '$.body.verdict') as verdict,
  json_extract_scalar(entry, '$.body.reason') as reason,
  hash
from countersign_rows
where json_extract_scalar(entry, '$.kind') = 'decision';
`;

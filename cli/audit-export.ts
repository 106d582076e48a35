// `audit export` and `audit verify --export`: what an auditor takes away, and how he checks it without us.

import { setTimeout as sleep } from 'node:timers/promises';

import { type Command, Option } from 'commander';

import { mustSayWhy } from '#cli/audit-redaction.ts';
import { timeGiven } from '#cli/audit-rows.ts';
import { adminClient, reachable, type Reach, Refused } from '#cli/client.ts';
import { appendRows, type Begun, begunIn, finish, keepHeader } from '#cli/export-folder.ts';
import { linesOf } from '#cli/lines.ts';
import { CliError, EXIT, print, printJson, progress } from '#cli/output.ts';
import { visible } from '#cli/untrusted.ts';
import { addVerb } from '#cli/verb.ts';
import { COVERS, noteIn } from '#cli/verify-folder.ts';
import { parseSize } from '#contracts/checkpoint.ts';
import { type ExportHeader, parseHeader } from '#contracts/export.ts';

interface ExportOptions extends Reach {
  readonly out: string;
  readonly format: 'ndjson' | 'csv';
  readonly from?: string;
  readonly to?: string;
  readonly agent?: string;
  readonly verdict?: string;
  readonly payloads?: true;
  readonly plain?: true;
  readonly since?: string;
  readonly reason?: string;
  readonly why?: string;
}

export function registerExport(audit: Command): void {
  reachable(
    addVerb(audit, 'export', {
      summary:
        'Write rows of the chain into a folder, with the checkpoint and the proofs that let anybody verify them offline. ' +
        'Nothing is capped; broken off, the same command goes on. Each export is an event in the chain.',
      examples: [
        ['./countersign audit export --out evidence', 'every row up to the newest witnessed head'],
        [
          './countersign audit export --out july --from 2026-07-01T00:00:00Z --to 2026-08-01T00:00:00Z',
          'a gapless part',
        ],
        [
          './countersign audit export --out blocked --verdict block --format csv',
          'a selection, also as a table',
        ],
        [
          './countersign audit export --out case4 --payloads --plain --reason "case 4"',
          'with all values; without --plain they are masked',
        ],
      ],
    }),
  )
    .requiredOption('--out <folder>', 'where to write it')
    .addOption(
      new Option('--format <format>', 'csv = a table beside the rows')
        .choices(['ndjson', 'csv'])
        .default('ndjson'),
    )
    .option('--from <time>', 'rows from this time on: 2h, 7d, or RFC 3339', timeGiven)
    .option('--to <time>', 'rows before this time', timeGiven)
    .option('--agent <agent>', 'only decisions about this agent')
    .option('--verdict <verdict>', 'only decisions with this verdict')
    .option('--payloads', 'with payloads, values masked by the rules; takes the role "operator"')
    .option('--plain', 'values of payloads as recorded; takes --reason')
    .option(
      '--since <file>',
      'a checkpoint that you hold: also prove that the log has only grown since',
    )
    .option('--reason <words>', 'what it is for; recorded with the event')
    .addOption(new Option('--why <words>').hideHelp()) // its name before
    .action(exportRows);
}

async function exportRows(options: ExportOptions): Promise<void> {
  const { out, format, payloads, plain } = options;
  if (plain === true && payloads !== true)
    throw new CliError('--plain is about payloads.', {
      exitCode: EXIT.misuse,
      help: 'add --payloads',
    });
  mustSayWhy({ plain, reason: options.reason ?? options.why });
  const begun = await begunIn(out);
  if (begun.rows > 0) progress(`going on behind row ${begun.after}`);
  const response = await sealedAnswer(options, `audit/export?${queryOf(options, begun)}`);
  const lines = linesOf(response.body as unknown as AsyncIterable<Uint8Array>)[
    Symbol.asyncIterator
  ]();
  const header = parseHeader(((await lines.next()).value as string | undefined) ?? '');
  if (header === undefined) throw new CliError('The answer does not begin with a header.');
  await keepHeader(out, begun, header);
  const taken = { rows: 0, ended: false };
  await appendRows(out, rowsIn(lines, taken)).catch((cause: unknown) => {
    throw brokenOff(begun.rows + taken.rows, { cause });
  });
  const count = begun.rows + taken.rows;
  if (!taken.ended) throw brokenOff(count);
  await finish(out, header, { count, csv: format === 'csv' });
  if (options.json === true) printJson({ folder: out, rows: count, ...summaryOf(header) });
  else tellExport(out, count, header);
}

/** A system that has only begun has its first witnessed checkpoint in a second or two. */
async function sealedAnswer(options: ExportOptions, path: string): Promise<Response> {
  const admin = adminClient(options);
  const deadline = Date.now() + FIRST_SEAL_MS;
  for (;;) {
    try {
      return await admin.tenantGet(path);
    } catch (error) {
      const early = error instanceof Refused && error.code === 'audit.not_sealed';
      if (!early || Date.now() > deadline) throw error;
      await sleep(SEAL_LOOK_MS);
    }
  }
}

const FIRST_SEAL_MS = 10_000;
const SEAL_LOOK_MS = 250;

const brokenOff = (rows: number, options: { cause?: unknown } = {}): CliError =>
  new CliError(`Broken off after ${rows} rows.`, { ...options, help: 'the same command goes on' });

function queryOf(options: ExportOptions, { header, after }: Begun): string {
  const { from, to, agent, verdict, payloads, plain, since, reason, why } =
    header?.filters === undefined ? options : { ...options, ...header.filters }; // relative times were resolved when it began
  const size = header === undefined ? undefined : header.checkpoint.split('\n', 2)[1];
  const asked = {
    from,
    to,
    agent,
    verdict,
    payloads: payloads === true ? 'true' : undefined,
    plain: plain === true ? 'true' : undefined,
    since: since === undefined ? undefined : String(sizeIn(since)),
    why: reason ?? why,
    size,
    after: after > 0 ? String(after) : undefined,
  };
  const given = Object.entries(asked).filter(
    (one): one is [string, string] => one[1] !== undefined,
  );
  return new URLSearchParams(given).toString();
}

function sizeIn(file: string): number {
  const size = parseSize(noteIn(file).split('\n', 2)[1] ?? '');
  if (size !== undefined) return size;
  throw new CliError(`${file} is no checkpoint.`, { exitCode: EXIT.misuse });
}

async function* rowsIn(
  lines: AsyncIterator<string>,
  taken: { rows: number; ended: boolean },
): AsyncGenerator<string> {
  let told = Date.now();
  for (;;) {
    const next = await lines.next();
    if (next.done === true) return;
    if (next.value.startsWith('{"end":')) {
      taken.ended = true;
      return;
    }
    taken.rows += 1;
    if (Date.now() - told > PROGRESS_MS) {
      told = Date.now();
      progress(`${taken.rows} rows`);
    }
    yield next.value;
  }
}

const PROGRESS_MS = 2_000;

const summaryOf = ({ tenant, completeness, first, last, head }: ExportHeader) => ({
  tenant,
  completeness,
  first,
  last,
  head: { sequence: head.sequence, hash: head.hash },
});

function tellExport(out: string, count: number, header: ExportHeader): void {
  const { tenant, completeness, first, last } = header;
  print(
    `${out}: ${count} rows of ${visible(tenant)}, ${COVERS[completeness]} (${first} to ${last})`,
  );
  print(`  verify  ./countersign audit verify --export ${out} --policy POLICY`);
}

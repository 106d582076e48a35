// `audit`: what the chain of a tenant says, and whether it is still what was written.

import { type Command, InvalidArgumentError } from 'commander';

import { registerExport } from '#cli/audit-export.ts';
import { registerPayloads } from '#cli/audit-payloads.ts';
import { registerProofs } from '#cli/audit-proof.ts';
import { plainQuery, registerRedaction } from '#cli/audit-redaction.ts';
import {
  allRows,
  filtered,
  newestRows,
  ROW_HEADING,
  rowCells,
  rowLines,
  type RowFilter,
  summary,
} from '#cli/audit-rows.ts';
import { followRows } from '#cli/audit-tail.ts';
import { checkChain, type ChainCheck, Incomplete } from '#cli/chain-check.ts';
import { adminClient, reachable, type Reach, Refused } from '#cli/client.ts';
import { countGiven } from '#cli/given.ts';
import { CliError, EXIT, paint, print, printJson, printTable, progress } from '#cli/output.ts';
import { visible } from '#cli/untrusted.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import { type VerifyFolder, verifyFolder } from '#cli/verify-folder.ts';
import type { AuditRecord, AuditRow, Explanation } from '#contracts/audit-api.ts';
import type { ChainHead } from '#contracts/chain.ts';
import { endOf, outcomeThatCounts, type OutcomeStatus } from '#contracts/outcome.ts';

interface ListOptions extends Reach, RowFilter {
  readonly limit: number;
  readonly all?: true;
}

interface TailOptions extends Reach, RowFilter {
  readonly after?: number;
}

const LIST_DEFAULT = 20;

export function register(program: Command): void {
  const audit = addGroup(program, 'audit', {
    short: 'List, follow, explain, verify and export what was recorded.',
    summary: 'The chain of a tenant: list, follow, show and verify what was recorded.',
    examples: [
      ['./countersign audit list', 'the newest records'],
      ['./countersign audit verify', 'is it all still what was written?'],
    ],
  });
  registerList(audit);
  registerProofs(audit);
  registerExport(audit);
  registerPayloads(audit);
  registerRedaction(audit);
  registerTail(audit);
  reachable(
    addVerb(audit, 'show <decision-id>', {
      summary:
        'Show one decision with its payload and what was recorded about it. Values are masked by the rules of the ' +
        'tenant (audit redaction); each read is an event in the chain.',
      examples: [
        ['./countersign audit show 019a1b2c-…', 'leaf, evidence and input, values masked'],
        [
          './countersign audit show 019a1b2c-… --plain --reason "case 4"',
          'with values; who read it and why is recorded',
        ],
      ],
    }),
  )
    .option('--plain', 'values as recorded; takes the role "operator" and a reason')
    .option('--reason <words>', 'why you read it; recorded with the event')
    .action(show);
  reachable(
    addVerb(audit, 'explain <decision-id>', {
      summary:
        'Say in plain words what was decided and why: which check, on which facts, under which policy, who delegated ' +
        'and approved, what happened afterwards, what would help.',
      examples: [
        ['./countersign audit explain 019a1b2c-…', 'the id that `call` and `audit list` show'],
      ],
    }),
  ).action(explain);
  reachable(
    addVerb(audit, 'verify', {
      summary:
        'Fetch every row and check hashes and order here, trusting nobody; or check an export, offline. ' +
        'Payloads are checked where they are; --payloads fetches them, too, which is an event in the chain. ' +
        'Exit code 0 intact, 1 tampered with, 3 could not run, 4 an export is incomplete.',
      examples: [
        ['./countersign audit verify', 'the whole chain of the tenant'],
        [
          './countersign audit verify --head 1200:sha256:…',
          'and it leads through the head written down then',
        ],
        [
          './countersign audit verify --export evidence --policy witness.policy',
          'a folder, with no network, database or secret',
        ],
      ],
    }),
  )
    .option('--head <sequence:hash>', 'a head that was written down earlier', headGiven)
    .option('--payloads', 'fetch plain payloads and check them here; takes the role "operator"')
    .option('--export <folder>', 'an export instead of the running system')
    .option('--policy <file>', 'of an export: keys of the log and of the witnesses, and how many')
    .option(
      '--against <file>',
      'of an export: a checkpoint that you hold, or an earlier manifest.json',
    )
    .action(verify);
}

function registerList(audit: Command): void {
  filtered(
    reachable(
      addVerb(audit, 'list', {
        summary: 'List rows of the chain that fit all conditions, the newest last.',
        examples: [
          ['./countersign audit list --verdict block --since 2h', 'what was refused since then'],
          ['./countersign audit list --agent support-bot --tool refund_order', 'what it asked for'],
          ['./countersign audit list --json --all', 'every row, one JSON document a line'],
        ],
      }),
    ),
  )
    .option('--limit <rows>', 'how many of the newest', countGiven, LIST_DEFAULT)
    .option('--all', 'every row that fits, the oldest first')
    .action(list);
}

function registerTail(audit: Command): void {
  filtered(
    reachable(
      addVerb(audit, 'tail', {
        summary:
          'Follow the chain: print each new row that fits, until interrupted. ' +
          'Goes on where it was after a restart of the system.',
        examples: [
          ['./countersign audit tail --verdict block', 'refusals, as they come'],
          [
            './countersign audit tail --json --after 1200',
            'one JSON document a line, from there on',
          ],
        ],
      }),
    ),
  )
    .option(
      '--after <sequence>',
      'begin behind this row (default: behind the newest)',
      sequenceGiven,
    )
    .action(tail);
}

async function list(options: ListOptions): Promise<void> {
  const admin = adminClient(options);
  if (options.all === true) {
    for await (const row of allRows(admin, options)) printRow(row, options);
    return;
  }
  const { items, head, more } = await newestRows(admin, options, options.limit);
  const rows = items.toReversed();
  if (options.json === true) printJson({ items: rows.map(summary), head, more });
  else if (rows.length === 0) print(`there are none in tenant ${admin.tenant}`);
  else printTable(rows.map(rowCells), ROW_HEADING);
}

async function tail(options: TailOptions): Promise<void> {
  const rows = followRows({
    connect: () => adminClient(options),
    filter: options,
    after: options.after,
    onAway: (why) => progress(why === undefined ? 'back again' : `${why} Waiting for it.`),
  });
  for await (const row of rows) printRow(row, options);
}

function printRow(row: AuditRow, { json }: Pick<Reach, 'json'>): void {
  print(json === true ? JSON.stringify(summary(row)) : rowCells(row).join('  '));
}

interface ShowOptions extends Reach {
  readonly plain?: true;
  readonly reason?: string;
}

async function show(id: string, options: ShowOptions): Promise<void> {
  const path = `audit/${encodeURIComponent(id)}?${plainQuery(options)}`;
  const record = (await decisionAt(path, options)) as AuditRecord;
  if (options.json === true) {
    printJson(record);
    return;
  }
  printTable([rowCells(record), ...record.about.map(rowCells)], ROW_HEADING);
  const payload =
    record.payload === null ? undefined : (JSON.parse(record.payload) as { sections: unknown });
  const end = endOfRecord(record);
  if (end !== '') print(`\n${paint('bold', 'end')}  ${end}`);
  print(`\n${paint('bold', 'leaf')}`);
  printJson(record.leaf);
  print(`\n${paint('bold', 'payload')}`);
  const { erased } = record;
  if (erased !== undefined) print(`erased ${erased.at} by order ${erased.by_order}`);
  else if (payload === undefined) print('there is none');
  else printJson(payload.sections);
  if (record.masked) print(paint('dim', `values are masked; with them: --plain --reason "..."`));
}

/** The answer about one decision; whoever pasted another id is told where ids are. */
async function decisionAt(path: string, options: Reach): Promise<unknown> {
  try {
    return await adminClient(options).tenantCall('GET', path);
  } catch (cause) {
    const unknown = cause instanceof Refused && cause.code.endsWith('.not_found');
    if (!unknown) throw cause;
    throw new CliError(`No decision has this id. (${cause.code})`, {
      exitCode: cause.exitCode,
      help: './countersign audit list shows ids; of an approval: ./countersign approvals show ID',
      cause,
    });
  }
}

async function explain(id: string, options: Reach): Promise<void> {
  const path = `audit/${encodeURIComponent(id)}/explain`;
  const explanation = (await decisionAt(path, options)) as Explanation;
  if (options.json === true) {
    printJson(explanation);
    return;
  }
  const { headline, sections } = explanation;
  print(paint('bold', visible(headline)));
  const width = Math.max(...sections.map(({ title }) => title.length));
  for (const { title, lines } of sections) {
    print();
    for (const [index, line] of lines.entries()) {
      print(`${paint('dim', (index === 0 ? title : '').padEnd(width))}  ${visible(line)}`);
    }
  }
}

/** What became of an allowed call, as far as it is known. */
function endOfRecord({ leaf, about }: AuditRecord): string {
  const { verdict, forwards } = leaf as { readonly verdict: string; readonly forwards: boolean };
  const outcomes = about.filter(({ kind }) => kind === 'outcome').map(({ leaf: said }) => said);
  const outcome = outcomeThatCounts(outcomes, (said) => said['reported_by']);
  return endOf({ verdict, forwards }, outcome?.['status'] as OutcomeStatus | undefined);
}

async function verify(
  options: Reach & Partial<VerifyFolder> & { readonly head?: ChainHead; readonly payloads?: true },
): Promise<void> {
  const { export: folder, payloads } = options;
  if (folder !== undefined) return verifyFolder({ ...options, export: folder });
  const admin = adminClient(options);
  const check = await checkChain(
    admin.tenant,
    rowLines(admin, 0, payloads === true ? 'audit verify' : undefined),
    options.head,
  ).catch((cause: unknown) => {
    throw cause instanceof CliError ? cause : new CliError(whyNot(cause), { cause });
  });
  if (options.json === true) printJson({ tenant: admin.tenant, ...check });
  else tell(admin.tenant, check);
  if (!check.intact) process.exitCode = EXIT.finding;
}

/** What is not a finding about the chain is a reason why nothing can be said. */
const whyNot = (cause: unknown): string =>
  cause instanceof Incomplete ? `${cause.message}.` : `The rows cannot be read: ${String(cause)}.`;

function tell(tenant: string, { intact, rows, head, finding }: ChainCheck): void {
  if (intact) {
    print(`intact: ${rows} rows of ${tenant}`);
    print(`  head  ${head.sequence}:${head.hash}`);
    return;
  }
  const { sequence = 0, fault = '', detail = '' } = finding ?? {};
  print(paint('red', `tampered with: row ${sequence} of ${tenant}: ${fault}`));
  if (detail !== '') print(`  ${detail}`);
  print(`  the ${rows} rows before it are good, up to  ${head.sequence}:${head.hash}`);
}

function sequenceGiven(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A sequence is a whole number from 0 on.');
}

function headGiven(text: string): ChainHead {
  const match = /^(\d{1,15}):(sha256:[0-9a-f]{64})$/.exec(text);
  if (match === null) throw new InvalidArgumentError('A head is its sequence, ":" and its hash.');
  return { sequence: Number(match[1]), hash: match[2] ?? '' };
}

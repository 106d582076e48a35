// `audit`: what the chain of a tenant says, and whether it is still what was written.

import { type Command, InvalidArgumentError } from 'commander';

import { checkChain, type ChainCheck, Incomplete } from '#cli/chain-check.ts';
import { adminClient, type AdminClient, reachable, type Reach } from '#cli/client.ts';
import { countGiven } from '#cli/given.ts';
import { linesOf } from '#cli/lines.ts';
import { CliError, EXIT, paint, print, printJson, printTable } from '#cli/output.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type {
  AuditEnd,
  AuditHead,
  AuditLine,
  AuditRecord,
  AuditRow,
} from '#contracts/audit-api.ts';
import type { ChainHead } from '#contracts/chain.ts';
import { endOf, type OutcomeStatus } from '#contracts/outcome.ts';

interface ListOptions extends Reach {
  readonly kind?: string;
  readonly verdict?: string;
  readonly agent?: string;
  readonly decision?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: number;
  readonly all?: true;
}

const LIST_DEFAULT = 20;
const PAGE = 1_000;

export function register(program: Command): void {
  const audit = addGroup(program, 'audit', {
    summary: 'The chain of a tenant: list, show and verify what was recorded.',
    examples: [
      ['./countersign audit list', 'the newest records'],
      ['./countersign audit verify', 'is it all still what was written?'],
    ],
  });
  registerList(audit);
  reachable(
    addVerb(audit, 'show <decision-id>', {
      summary: 'Show one decision with its payload and what was recorded about it.',
      examples: [
        ['./countersign audit show 019a1b2c-…', 'leaf, evidence and input'],
        ['./countersign audit show 019a1b2c-… --json', 'exactly as recorded'],
      ],
    }),
  ).action(show);
  reachable(
    addVerb(audit, 'verify', {
      summary:
        'Fetch every row and check hashes, order and payloads here, trusting nobody. ' +
        'Exit code 0 intact, 1 tampered with, 3 could not run.',
      examples: [
        ['./countersign audit verify', 'the whole chain of the tenant'],
        [
          './countersign audit verify --head 1200:sha256:…',
          'and it leads through the head written down then',
        ],
      ],
    }),
  )
    .option('--head <sequence:hash>', 'a head that was written down earlier', headGiven)
    .action(verify);
}

function registerList(audit: Command): void {
  reachable(
    addVerb(audit, 'list', {
      summary: 'List rows of the chain, the newest last.',
      examples: [
        [
          './countersign audit list --verdict block --since 2026-11-21T08:00:00Z',
          'what was refused since then',
        ],
        ['./countersign audit list --json --all', 'every row, one JSON document a line'],
      ],
    }),
  )
    .option('--kind <kind>', 'decision, outcome, control (all changes), control.policy, ...')
    .option('--verdict <verdict>', 'allow, block or escalate')
    .option('--agent <agent>', 'decisions about this agent')
    .option('--decision <id>', 'a decision and everything about it')
    .option('--since <time>', 'from this time on (RFC 3339)')
    .option('--until <time>', 'before this time (RFC 3339)')
    .option('--limit <rows>', 'how many of the newest', countGiven, LIST_DEFAULT)
    .option('--all', 'every row, the oldest first')
    .action(list);
}

async function list(options: ListOptions): Promise<void> {
  const admin = adminClient(options);
  if (options.all === true) {
    for await (const row of allRows(admin, options)) {
      print(options.json === true ? JSON.stringify(summary(row)) : line(row).join('  '));
    }
    return;
  }
  const { limit } = options;
  const page = await fetchPage(admin, options, { limit: String(Math.min(limit, PAGE)) });
  const rows = page.items.toReversed();
  if (options.json === true)
    printJson({ items: rows.map(summary), head: page.head, more: page.more });
  else if (rows.length === 0) print('there are none');
  else printTable(rows.map(line), HEADING);
}

interface Page {
  readonly items: AuditRow[];
  readonly head: AuditHead;
  readonly more: boolean;
}

async function fetchPage(
  admin: AdminClient,
  { kind, verdict, agent, decision, since, until }: ListOptions,
  place: Readonly<Record<string, string>>,
): Promise<Page> {
  const query = new URLSearchParams(place);
  const filters = { kind, verdict, agent, decision_id: decision, since, until };
  for (const [name, value] of Object.entries(filters))
    if (value !== undefined) query.set(name, value);
  return (await admin.tenantCall('GET', `audit?${query.toString()}`)) as Page;
}

async function* allRows(admin: AdminClient, options: ListOptions): AsyncGenerator<AuditRow> {
  for (let after = 0, more = true; more;) {
    const page = await fetchPage(admin, options, { after: String(after), limit: String(PAGE) });
    yield* page.items;
    after = page.items.at(-1)?.sequence ?? after;
    more = page.more;
  }
}

/** The part of a row that fits a line; the rest is in the leaf. */
function summary(row: AuditRow) {
  const { leaf, source, ...rest } = row;
  return { ...rest, stream: source.stream, about: aboutOf(row.kind, leaf) };
}

const HEADING = ['sequence', 'at', 'kind', 'verdict', 'about', 'id', 'hash'];

function line(row: AuditRow): string[] {
  const { sequence, at, kind, verdict, decision_id: decisionId, record_id: recordId, hash } = row;
  const about = aboutOf(kind, row.leaf);
  const mark = row.index_differs === true ? ' (index differs)' : '';
  const id = decisionId === '' ? recordId : decisionId;
  return [String(sequence), at, kind, verdict, `${about}${mark}`, id, hash.slice(0, 19)];
}

/** What a record is about, in a few words. Names and reasons only: nothing of a payload. */
function aboutOf(kind: string, leaf: AuditRow['leaf']): string {
  const text = (name: string): string => (typeof leaf[name] === 'string' ? leaf[name] : '');
  if (kind === 'decision') return `${text('agent')} ${text('tool')}: ${text('reason')}`;
  if (kind === 'outcome') return text('status');
  return `${text('by')} ${text('action')} ${text('target')}`;
}

async function show(id: string, options: Reach): Promise<void> {
  const path = `audit/${encodeURIComponent(id)}`;
  const record = (await adminClient(options).tenantCall('GET', path)) as AuditRecord;
  if (options.json === true) {
    printJson(record);
    return;
  }
  printTable([line(record), ...record.about.map(line)], HEADING);
  const payload =
    record.payload === null ? undefined : (JSON.parse(record.payload) as { sections: unknown });
  const end = endOfRecord(record);
  if (end !== '') print(`\n${paint('bold', 'end')}  ${end}`);
  print(`\n${paint('bold', 'leaf')}`);
  printJson(record.leaf);
  print(`\n${paint('bold', 'payload')}`);
  if (payload === undefined) print('there is none');
  else printJson(payload.sections);
}

/** What became of an allowed call, as far as it is known. */
function endOfRecord({ leaf, about }: AuditRecord): string {
  const { verdict, forwards } = leaf as { readonly verdict: string; readonly forwards: boolean };
  const outcome = about.find(({ kind }) => kind === 'outcome')?.leaf['status'];
  return endOf({ verdict, forwards }, outcome as OutcomeStatus | undefined);
}

async function verify(options: Reach & { readonly head?: ChainHead }): Promise<void> {
  const admin = adminClient(options);
  const check = await checkChain(admin.tenant, rowLines(admin), options.head).catch(
    (cause: unknown) => {
      throw cause instanceof CliError ? cause : new CliError(whyNot(cause), { cause });
    },
  );
  if (options.json === true) printJson({ tenant: admin.tenant, ...check });
  else tell(admin.tenant, check);
  if (!check.intact) process.exitCode = EXIT.finding;
}

/** What is not a finding about the chain is a reason why nothing can be said. */
const whyNot = (cause: unknown): string =>
  cause instanceof Incomplete ? `${cause.message}.` : `The rows cannot be read: ${String(cause)}.`;

async function* rowLines(admin: AdminClient): AsyncGenerator<AuditLine | AuditEnd> {
  const { body } = await admin.tenantGet('audit/rows?payloads=true');
  if (body === null) return;
  for await (const text of linesOf(body)) yield JSON.parse(text) as AuditLine | AuditEnd;
}

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

function headGiven(text: string): ChainHead {
  const match = /^(\d{1,15}):(sha256:[0-9a-f]{64})$/.exec(text);
  if (match === null) throw new InvalidArgumentError('A head is its sequence, ":" and its hash.');
  return { sequence: Number(match[1]), hash: match[2] ?? '' };
}

// Rows of the chain as the command line asks for them and shows them, page by page.

import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';

import type { AdminClient } from '#cli/client.ts';
import { durationGiven } from '#cli/given.ts';
import { linesOf } from '#cli/lines.ts';
import type { AuditEnd, AuditHead, AuditLine, AuditRow } from '#contracts/audit-api.ts';
import type { DecisionLeaf } from '#contracts/decision.ts';

/** Conditions on rows, by their options. */
const FILTERS = [
  'kind',
  'verdict',
  'agent',
  'person',
  'tool',
  'upstream',
  'reason',
  'mode',
  'approval',
  'decision',
  'since',
  'until',
] as const;

export type RowFilter = { readonly [Name in (typeof FILTERS)[number]]?: string };

export interface RowPage {
  readonly items: readonly AuditRow[];
  readonly head: AuditHead;
  readonly more: boolean;
  readonly next?: string;
}

/** Most rows of one request. */
const PAGE_MAX = 1_000;

/** Adds the options of RowFilter. */
export function filtered(verb: Command): Command {
  return verb
    .option(
      '--kind <kind>',
      'decision, outcome, approval, control (all changes), control.policy, ...',
    )
    .option('--verdict <verdict>', 'allow, block or escalate')
    .option('--agent <agent>', 'decisions about this agent')
    .option('--person <person>', "a person's pseudonym, or the operator who did it")
    .option('--tool <tool>', 'calls of this tool')
    .option('--upstream <upstream>', 'calls of tools of this server')
    .option(
      '--reason <reason>',
      'reason, status of an outcome, state of an approval, action of a change',
    )
    .option('--mode <mode>', 'decisions in this rollout mode')
    .option('--approval <id>', 'what opened, answered or used this approval')
    .option('--decision <id>', 'a decision and everything about it')
    .option('--since <time>', 'from this time on: 2h, 7d, or RFC 3339', timeGiven)
    .option('--until <time>', 'before this time: 30m, or RFC 3339', timeGiven);
}

/** RFC 3339 of a time, or of how long ago it was. For options of commander. */
export function timeGiven(text: string): string {
  if (/^\d+[smhd]$/.test(text)) {
    return new Date(Date.now() - durationGiven(text) * 1_000).toISOString();
  }
  if (/^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:\d\d)$/i.test(text) && !Number.isNaN(Date.parse(text)))
    return text;
  throw new InvalidArgumentError(
    'A time is how long ago it was, such as 2h, or RFC 3339, such as 2026-11-21T08:00:00Z.',
  );
}

/** One page. @param place where it begins: `after`, or `cursor` with the `next` of the page before; else the newest */
export async function rowPage(
  admin: AdminClient,
  filter: RowFilter,
  place: { readonly after?: number; readonly cursor?: string; readonly limit?: number },
): Promise<RowPage> {
  const { after, cursor, limit = PAGE_MAX } = place;
  const query = new URLSearchParams({ limit: String(Math.min(limit, PAGE_MAX)) });
  for (const name of FILTERS) {
    const value = filter[name];
    if (value !== undefined) query.set(name === 'decision' ? 'decision_id' : name, value);
  }
  if (cursor !== undefined) query.set('cursor', cursor);
  else if (after !== undefined) query.set('after', String(after));
  return (await admin.tenantCall('GET', `audit?${query.toString()}`)) as RowPage;
}

/** All rows that fit, in the order of the chain. */
export async function* allRows(admin: AdminClient, filter: RowFilter): AsyncGenerator<AuditRow> {
  for (let cursor: string | undefined, more = true; more;) {
    const page: RowPage = await rowPage(
      admin,
      filter,
      cursor === undefined ? { after: 0 } : { cursor },
    );
    yield* page.items;
    cursor = page.next;
    more = cursor !== undefined;
  }
}

/** Whether a decision fits the conditions that are about decisions. */
export function fitsDecision(filter: RowFilter, leaf: DecisionLeaf): boolean {
  const { since, until, approval, kind, decision } = filter;
  const equal = ['verdict', 'agent', 'person', 'tool', 'upstream', 'reason', 'mode'] as const;
  return (
    (kind === undefined || kind === 'decision') &&
    (decision === undefined || leaf.id === decision) &&
    (since === undefined || leaf.at >= Date.parse(since)) &&
    (until === undefined || leaf.at < Date.parse(until)) &&
    (approval === undefined || leaf.approval_id === approval || leaf.resumes === approval) &&
    equal.every((name) => filter[name] === undefined || leaf[name] === filter[name])
  );
}

/** The newest rows that fit, the newest first. `more`: there may be older ones. */
export async function newestRows(
  admin: AdminClient,
  filter: RowFilter,
  limit: number,
): Promise<RowPage> {
  const items: AuditRow[] = [];
  for (let cursor: string | undefined; ;) {
    const rest = limit - items.length;
    const page: RowPage = await rowPage(admin, filter, {
      limit: rest,
      ...(cursor === undefined ? {} : { cursor }),
    });
    items.push(...page.items);
    cursor = page.next;
    if (cursor === undefined || items.length >= limit) return { ...page, items };
  }
}

/**
 * Whole rows from behind a sequence, the head last: with their plain payloads, recorded with what for; or, without a
 * reason, with the server's word of whether each payload is the one of its leaf.
 */
export async function* rowLines(
  admin: AdminClient,
  after: number,
  why?: string,
): AsyncGenerator<AuditLine | AuditEnd> {
  const how = why === undefined ? { check: 'true' } : { payloads: 'true', plain: 'true', why };
  const query = new URLSearchParams({ ...how, after: String(after) });
  const { body } = await admin.tenantGet(`audit/rows?${query.toString()}`);
  if (body === null) return;
  for await (const text of linesOf(body)) yield JSON.parse(text) as AuditLine | AuditEnd;
}

/** The part of a row that fits a line; the rest is in the leaf. */
export function summary(row: AuditRow) {
  const { leaf, source, ...rest } = row;
  return { ...rest, stream: source.stream, about: aboutOf(row.kind, leaf) };
}

export const ROW_HEADING = ['sequence', 'at', 'kind', 'verdict', 'about', 'id', 'hash'];

/** Cells below ROW_HEADING. */
export function rowCells(row: AuditRow): string[] {
  const { sequence, at, kind, verdict, decision_id: decisionId, record_id: recordId, hash } = row;
  const about = aboutOf(kind, row.leaf).replaceAll(/(?:sha256:)?[0-9a-f]{64}/g, shortened);
  const mark = row.index_differs === true ? ' (index differs)' : '';
  const id = decisionId === '' ? recordId : decisionId;
  return [String(sequence), at, kind, verdict, `${about}${mark}`, id, shortened(hash)];
}

/** A digest as people tell it from others: `policy show` and `activate` take its beginning. */
const shortened = (digest: string): string => digest.slice(0, digest.lastIndexOf(':') + 1 + 12);

/** What a record is about, in a few words. Names and reasons only: nothing of a payload. */
function aboutOf(kind: string, leaf: AuditRow['leaf']): string {
  const text = (name: string): string => (typeof leaf[name] === 'string' ? leaf[name] : '');
  if (kind === 'decision') return `${text('agent')} ${text('tool')}: ${text('reason')}`;
  if (kind === 'outcome') return text('status');
  if (kind.startsWith('approval.')) return `${text('by')} ${text('state')}`;
  return `${text('by')} ${text('action')} ${text('target')}`;
}

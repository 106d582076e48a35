/** The audit routes: what the chain says, for operators and for verifiers of their own. Needs Postgres; nothing else does. */
import {
  AUDIT_OPERATIONS,
  type AuditEnd,
  type AuditHead,
  type AuditLine,
  type AuditRow,
  type AuditVerdict,
} from '#contracts/audit-api.ts';
import { chainVerifier } from '#contracts/chain.ts';
import { type CommittingLeaf, payloadFault } from '#contracts/payload.ts';
import { parseMasked } from '#contracts/redaction.ts';
import { UnknownKey } from '#host/at-rest.ts';

import { type Handlers, mount } from './app.ts';
import { cursorOf, readFlag, readNumber, readPlace, readWanted } from './audit-query.ts';
import type { AuditReads, FoundRows, ReadRow, Search } from './audit-reads.ts';
import type { Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { explainContext } from './explain-context.ts';
import { detailOf, explain } from './explain.ts';
import { type PayloadView, payloadViews } from './payload-view.ts';
import { redactors } from './redaction.ts';
import type { Routes } from './routes.ts';

const LIST_DEFAULT = 50;
const LIST_MAX = 1_000;
const STREAM_PAGE = 500;
const VERIFY_DEFAULT = 10_000;
const VERIFY_MAX = 1_000_000;

/** @param reads undefined where no database is configured */
export const auditRoutes =
  (reads: AuditReads | undefined): Routes =>
  (app, { deps, authenticate }) => {
    const handlers = auditHandlers(guarded(reads, deps.log.warn.bind(deps.log)), deps);
    mount(app, { operations: AUDIT_OPERATIONS, handlers, authenticate });
  };

/** Whatever keeps the database from answering is one error to the operator, and its cause a line in the log. */
function guarded(
  reads: AuditReads | undefined,
  warn: (fields: object, message: string) => void,
): AuditReads {
  const guard = async <T>(read: (reads: AuditReads) => Promise<T>): Promise<T> => {
    if (reads === undefined)
      throw new AdminError('audit.unavailable', 'No database is configured.');
    try {
      return await read(reads);
    } catch (cause) {
      warn({ err: cause }, 'the audit database does not answer');
      const detail = cause instanceof UnknownKey ? cause.message : '';
      throw new AdminError('audit.unavailable', detail, { cause });
    }
  };
  return {
    head: (tenant) => guard((at) => at.head(tenant)),
    range: (tenant, range) => guard((at) => at.range(tenant, range)),
    search: (tenant, search) => guard((at) => at.search(tenant, search)),
    about: (tenant, decisionId) => guard((at) => at.about(tenant, decisionId)),
    erased: (tenant, sequence) => guard((at) => at.erased(tenant, sequence)),
    bySource: (tenant, source) => guard((at) => at.bySource(tenant, source)),
  };
}

function auditHandlers(reads: AuditReads, deps: Deps): Handlers<typeof AUDIT_OPERATIONS> {
  const { bundles } = deps;
  const viewing = payloadViews(deps);
  const redactorOf = redactors(deps);
  const decisionIn = (rows: readonly ReadRow[]): ReadRow => {
    const row = rows.find(({ row: { kind } }) => kind === 'decision');
    if (row === undefined) throw new AdminError('thing.not_found');
    return row;
  };
  return {
    listAudit: async ({ tenant, query }) => {
      const limit = readNumber(query['limit'], { otherwise: LIST_DEFAULT, min: 1, max: LIST_MAX });
      if (limit === 0) throw new AdminError('request.schema', 'A page has at least one row.');
      const search = { wanted: readWanted(query), from: readPlace(query), limit };
      const { head, rows, next } = await found(reads, tenant, search);
      const items = rows.map(({ row }) => row);
      return next === undefined
        ? { items, head, more: false }
        : { items, head, more: true, next: cursorOf(next) };
    },
    streamAudit: async (asked) => {
      const { tenant, query } = asked;
      const view = readFlag(query['payloads']) ? viewing(asked) : undefined;
      const after = readNumber(query['after'], { otherwise: 0, max: Number.MAX_SAFE_INTEGER });
      const head = await reads.head(tenant);
      const target = `rows ${after + 1} to ${head.sequence}`;
      if (after < head.sequence) await view?.told({ action: 'payloads', target });
      const check = readFlag(query['check']);
      const lines = linesOf(reads, { tenant, after, head, view, check });
      const body = ReadableStream.from(lines).pipeThrough(new TextEncoderStream());
      return new Response(body, { headers: { 'content-type': 'application/x-ndjson' } });
    },
    verifyAudit: async ({ tenant, query }) => {
      const last = readNumber(query['last'], { otherwise: VERIFY_DEFAULT, max: VERIFY_MAX });
      return verify(reads, tenant, last);
    },
    showAudit: async (asked) => {
      const { tenant, path } = asked;
      const view = viewing(asked);
      const rows = await reads.about(tenant, path['decision'] ?? '');
      const { row, payload, place } = decisionIn(rows);
      const about = rows.map((other) => other.row).filter(({ kind }) => kind !== 'decision');
      const erased = payload === null ? await reads.erased(tenant, place) : undefined;
      if (payload !== null) await view.told({ action: 'payload', target: row.record_id });
      return {
        ...row,
        payload: view.show(leafOf(row), payload),
        masked: payload !== null && !view.plain,
        ...(erased === undefined ? {} : { erased }),
        about,
      };
    },
    explainAudit: async ({ tenant, path }) => {
      const rows = await reads.about(tenant, path['decision'] ?? '');
      const { row, payload } = decisionIn(rows);
      const about = rows.map((other) => other.row).filter(({ kind }) => kind !== 'decision');
      const context = await explainContext(reads, tenant, {
        row,
        about,
        detail: detailOf(payload),
      });
      // Without an event: names and codes, and values only where the tenant's rules show them to everybody.
      const shown =
        payload === null
          ? undefined
          : parseMasked(redactorOf(tenant).mask(leafOf(row), payload))?.sections;
      return explain(row, shown, context);
    },
    getAuditBundle: async ({ tenant, path }) => {
      const { row } = decisionIn(await reads.about(tenant, path['decision'] ?? ''));
      const digest = path['digest'] ?? '';
      const used = JSON.stringify(row.leaf['policies'] ?? []).includes(`"digest":"${digest}"`);
      const bytes = used ? await bundles.getBlob(digest) : null;
      if (bytes === null) throw new AdminError('thing.not_found');
      return new Response(Buffer.from(bytes), { headers: { 'content-type': 'application/json' } });
    },
  };
}

/** Of a row that somebody tampered with it is anything; the check of a payload assumes nothing of it. */
const leafOf = ({ kind, leaf }: AuditRow): CommittingLeaf => ({ commitments: {}, ...leaf, kind });

/** Everything from the oldest on is read from the chain itself: nothing that is only an index can leave a row out. */
async function found(reads: AuditReads, tenant: string, search: Search): Promise<FoundRows> {
  const { wanted, from, limit } = search;
  if (from.order === 'newest' || Object.keys(wanted).length > 0)
    return reads.search(tenant, search);
  const range = { after: from.sequence, limit: limit + 1, payloads: false };
  const head = await reads.head(tenant);
  const rows = await reads.range(tenant, range);
  const last = rows[limit - 1];
  const next =
    rows.length > limit && last !== undefined ? { ...from, sequence: last.place } : undefined;
  return { head, rows: rows.slice(0, limit), next };
}

interface Streamed {
  readonly tenant: string;
  readonly after: number;
  /** Rows that are chained later are left out. */
  readonly head: AuditHead;
  /** Undefined = without payloads. */
  readonly view: PayloadView | undefined;
  /** Whether payloads are held to their leaves here. */
  readonly check: boolean;
}

async function* linesOf(reads: AuditReads, streamed: Streamed): AsyncGenerator<string> {
  const { view, check } = streamed;
  for await (const { entry, hash, payload, erased, row } of rowsUpTo(reads, streamed)) {
    const line: AuditLine = {
      entry,
      hash,
      ...(view === undefined ? {} : { payload: view.show(leafOf(row), payload) }),
      ...(check ? { payload_fault: faultOf(leafOf(row), payload, erased) } : {}),
      ...(erased ? { erased } : {}),
      ...(row.index_differs === true ? { index_differs: true } : {}),
    };
    yield `${JSON.stringify(line)}\n`;
  }
  const end: AuditEnd = { head: streamed.head };
  yield `${JSON.stringify(end)}\n`;
}

function faultOf(leaf: CommittingLeaf, payload: string | null, erased: boolean): string {
  if (payload !== null) return payloadFault(leaf, payload);
  return erased || Object.keys(leaf.commitments).length === 0 ? '' : 'the payload is missing';
}

async function* rowsUpTo(
  reads: AuditReads,
  { tenant, after, head, view, check }: Streamed,
): AsyncGenerator<ReadRow> {
  for (let sequence = after; sequence < head.sequence;) {
    const limit = Math.min(STREAM_PAGE, head.sequence - sequence);
    const rows = await reads.range(tenant, {
      after: sequence,
      limit,
      payloads: check || view !== undefined,
    });
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined) return; // the tail is cut: whoever verifies sees it by the head
    sequence = last.place;
  }
}

/** The newest rows: hashes, holes, and whether the index beside them agrees. */
async function verify(reads: AuditReads, tenant: string, last: number): Promise<AuditVerdict> {
  const head = await reads.head(tenant);
  const from = Math.max(0, head.sequence - last);
  const [before] =
    from === 0 ? [] : await reads.range(tenant, { after: from - 1, limit: 1, payloads: false });
  const verifier = chainVerifier(tenant, before && { sequence: from, hash: before.hash });
  const verdict = { from: Math.min(from + 1, head.sequence), head };
  for await (const row of rowsUpTo(reads, {
    tenant,
    after: from,
    head,
    view: undefined,
    check: false,
  })) {
    const result = verifier.next(row);
    const finding =
      'fault' in result
        ? result
        : row.row.index_differs === true
          ? { sequence: row.place, fault: 'index_differs' }
          : undefined;
    if (finding !== undefined) {
      return { ...verdict, intact: false, through: verifier.head().sequence, finding };
    }
  }
  const through = verifier.head().sequence;
  const finding = verifier.end(head);
  return finding === undefined
    ? { ...verdict, intact: true, through }
    : { ...verdict, intact: false, through, finding };
}

/** The route of exports. Who takes what is in the chain before the first row leaves. */
import { setImmediate } from 'node:timers/promises';

import { Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { parseEntry } from '#contracts/chain.ts';
import { EXPORT_OPERATIONS } from '#contracts/export-api.ts';
import type { ExportEnd, ExportFilters, ExportHeader, ExportRow } from '#contracts/export.ts';

import { type Handlers, mount } from './app.ts';
import { readFlag, readNumber } from './audit-query.ts';
import { changeBy } from './change.ts';
import type { Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import type { ExportReads } from './export-reads.ts';
import { type PayloadView, payloadViews } from './payload-view.ts';
import type { Routes } from './routes.ts';

/** @param reads undefined where no database is configured */
export const exportRoutes =
  (reads: ExportReads | undefined): Routes =>
  (app, { deps, authenticate }) => {
    const handlers = exportHandlers(reads, deps);
    mount(app, { operations: EXPORT_OPERATIONS, handlers, authenticate });
  };

const FILTERS = ['from', 'to', 'agent', 'verdict'] as const;
const TEXT_CHARS_MAX = 256;
const momentShape = Compile(Type.String({ format: 'date-time' }));

function exportHandlers(
  reads: ExportReads | undefined,
  deps: Deps,
): Handlers<typeof EXPORT_OPERATIONS> {
  const viewing = payloadViews(deps);
  return {
    exportAudit: async (asked) => {
      const { tenant, operator, query } = asked;
      if (reads === undefined)
        throw new AdminError('audit.unavailable', 'No database is configured.');
      const payloads = readFlag(query['payloads']);
      const view = payloads ? viewing(asked) : undefined;
      const filters = readFilters(query);
      const after = readNumber(query['after'], { otherwise: 0, max: Number.MAX_SAFE_INTEGER });
      const size = sizeIn(query['size']);
      const redaction = view?.rules;
      const wanted = { tenant, filters, payloads, redaction, size, since: sizeIn(query['since']) };
      const header = await reads.header(wanted).catch((cause: unknown) => {
        throw new AdminError('audit.unavailable', '', { cause });
      });
      if (header === undefined)
        throw new AdminError(size === undefined ? 'audit.not_sealed' : 'audit.size');
      const { first, last } = header;
      const read = {
        action: 'export',
        target: `rows ${Math.max(first, after + 1)} to ${last}`,
        value: { filters, payloads, first, last, after },
      } as const;
      if (view !== undefined) await view.told(read);
      else {
        const reason = query['why'] ?? asked.reason;
        await changeBy(deps.record)({ tenant, operator, reason }, { kind: 'read', ...read });
      }
      const body = ReadableStream.from(linesOf(reads, { header, after, view }));
      return new Response(body.pipeThrough(new TextEncoderStream()), {
        headers: { 'content-type': 'application/x-ndjson' },
      });
    },
  };
}

async function* linesOf(
  reads: ExportReads,
  {
    header,
    after,
    view,
  }: {
    readonly header: ExportHeader;
    readonly after: number;
    readonly view: PayloadView | undefined;
  },
): AsyncGenerator<string> {
  yield `${JSON.stringify(header)}\n`;
  let rows = 0;
  let text = '';
  for await (const row of reads.rows(header, after)) {
    rows += 1;
    text += `${JSON.stringify(view === undefined ? row : viewed(row, view))}\n`;
    if (text.length < CHUNK_CHARS) continue;
    yield text;
    text = '';
    await setImmediate(); // other operators are served meanwhile
  }
  const end: ExportEnd = { end: { rows } };
  yield `${text}${JSON.stringify(end)}\n`;
}

const CHUNK_CHARS = 64 * 1024;

function viewed(row: ExportRow, { show, plain }: PayloadView): ExportRow {
  if (plain || row.payload === undefined || row.payload === null) return row;
  const body = parseEntry(row.entry)?.body;
  const leaf = { kind: '', commitments: {}, ...body };
  return { ...row, payload: show(leaf, row.payload) };
}

function readFilters(query: Readonly<Record<string, string>>): ExportFilters {
  const given = FILTERS.flatMap((name) => {
    const value = query[name];
    if (value === undefined) return [];
    const moment = name === 'from' || name === 'to';
    const fits = moment
      ? momentShape.Check(value)
      : value !== '' && value.length <= TEXT_CHARS_MAX && !value.includes('\0');
    if (!fits) throw new AdminError('request.schema', `"${name}" cannot be read.`);
    return [[name, value] as const];
  });
  return Object.fromEntries(given);
}

const sizeIn = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : readNumber(text, { otherwise: 0, max: Number.MAX_SAFE_INTEGER });

// Compares what is derived from the record with the record, and makes it again where it differs: the index that rows are
// found by, and the state that workers watch. Safe while the system runs: a row of the chain never changes, and a key of
// the state is replaced only as it was read.

import pg from 'pg';

import { CliError } from '#cli/output.ts';
import { bodyText, indexText, parseEntry } from '#contracts/chain.ts';
import { readChange } from '#contracts/change.ts';
import { CONTROL_KEYS, type ControlEntry } from '#contracts/control.ts';
import { canonical, type Json } from '#contracts/json.ts';
import { searchTerms } from '#contracts/search.ts';
import { type AtRest, payloadPlace } from '#host/at-rest.ts';
import type { Bus, KV } from '#host/nats.ts';

import { effectsOf, entryAfter } from '../../services/admin/apply.ts';

/** What a projection had wrong. */
export interface Rebuilt {
  readonly projection: string;
  /** Rows of the record that it was compared with. */
  readonly looked: number;
  readonly missing: number;
  readonly different: number;
  /** There without a reason in the record. */
  readonly extra: number;
  /** Rows that could not be read any more, so nothing is said about what they made. */
  readonly unreadable: number;
  /** The first few, by name. */
  readonly first: readonly string[];
}

const PAGE = 2_000;
const NAMED = 10;

class Count {
  looked = 0;
  missing = 0;
  different = 0;
  extra = 0;
  unreadable = 0;
  readonly first: string[] = [];
  readonly projection: string;
  constructor(projection: string) {
    this.projection = projection;
  }
  wrong(what: 'missing' | 'different' | 'extra', name: string): void {
    this[what] += 1;
    if (this.first.length < NAMED) this.first.push(`${what}: ${name}`);
  }
}

/** The columns of search_rows in their order, as text. */
const COLUMNS =
  'tenant, sequence, at, kind, agent, person, tool, upstream, verdict, reason, mode, approval';

/** @param url of the chainer's role @param repair false = only compare */
export async function rebuildSearch(url: string, repair: boolean): Promise<Rebuilt> {
  const count = new Count('search');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const tenants = await client.query<{ tenant: string }>('select tenant from heads order by 1');
    for (const { tenant } of tenants.rows) {
      for (let after = 0, more = true; more;) {
        const rows = await searchPage(client, tenant, after);
        await compareSearch(client, { tenant, after, rows, count, repair });
        more = rows.length === PAGE;
        after = Number(rows.at(-1)?.sequence ?? after);
      }
    }
    return count;
  } finally {
    await client.end();
  }
}

interface SearchRow {
  readonly sequence: string;
  readonly entry: string;
  /** As it stands, null for none. */
  readonly found: string | null;
}

async function searchPage(client: pg.Client, tenant: string, after: number): Promise<SearchRow[]> {
  const { rows } = await client.query<SearchRow>(
    `select c.sequence::text, c.entry, (select json_build_array(s.tenant, s.sequence, s.at, s.kind, s.agent, s.person,
       s.tool, s.upstream, s.verdict, s.reason, s.mode, s.approval)::text
       from search_rows s where s.tenant = c.tenant and s.sequence = c.sequence) as found
     from chain_rows c where c.tenant = $1 and c.sequence > $2 order by c.sequence limit $3`,
    [tenant, after, PAGE],
  );
  return rows;
}

async function compareSearch(
  client: pg.Client,
  page: {
    readonly tenant: string;
    readonly after: number;
    readonly rows: readonly SearchRow[];
    readonly count: Count;
    readonly repair: boolean;
  },
): Promise<void> {
  const { tenant, after, rows, count, repair } = page;
  const wrong: (readonly (string | number)[])[] = [];
  for (const { sequence, entry, found } of rows) {
    count.looked += 1;
    const right = columnsOf(tenant, entry);
    if (right === undefined) {
      count.unreadable += 1;
      continue;
    }
    if (found !== null && JSON.stringify(JSON.parse(found)) === JSON.stringify(right)) continue;
    count.wrong(found === null ? 'missing' : 'different', `${tenant} row ${sequence}`);
    wrong.push(right);
  }
  const extra = await extraRows(client, {
    tenant,
    after,
    // Behind the last page nothing may stand that the chain does not have.
    last: rows.length === PAGE ? Number(rows.at(-1)?.sequence) : Number.MAX_SAFE_INTEGER,
  });
  for (const sequence of extra) count.wrong('extra', `${tenant} row ${sequence}`);
  if (repair && wrong.length + extra.length > 0)
    await replaceSearch(client, { tenant, wrong, extra });
}

async function extraRows(
  client: pg.Client,
  {
    tenant,
    after,
    last,
  }: { readonly tenant: string; readonly after: number; readonly last: number },
): Promise<string[]> {
  const { rows } = await client.query<{ sequence: string }>(
    `select sequence::text from search_rows s where tenant = $1 and sequence > $2 and sequence <= $3
     and not exists (select from chain_rows c where c.tenant = s.tenant and c.sequence = s.sequence)`,
    [tenant, after, last],
  );
  return rows.map(({ sequence }) => sequence);
}

async function replaceSearch(
  client: pg.Client,
  {
    tenant,
    wrong,
    extra,
  }: {
    readonly tenant: string;
    readonly wrong: readonly (readonly (string | number)[])[];
    readonly extra: readonly string[];
  },
): Promise<void> {
  const gone = [...wrong.map(([, sequence]) => sequence), ...extra];
  await client.query('begin');
  await client.query('delete from search_rows where tenant = $1 and sequence = any($2::bigint[])', [
    tenant,
    gone,
  ]);
  for (const values of wrong) {
    await client.query(
      `insert into search_rows (${COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
       on conflict do nothing`,
      [...values],
    );
  }
  await client.query('commit');
}

/** What search_rows should hold of an entry, undefined for what is none any more: `audit verify` names it. */
function columnsOf(tenant: string, text: string): readonly (string | number)[] | undefined {
  const entry = parseEntry(text);
  if (entry === undefined) return undefined;
  const { body, kind, sequence } = entry;
  const leaf: Readonly<Record<string, unknown>> = body;
  const member = (name: string): string =>
    typeof leaf[name] === 'string' ? indexText(leaf[name]) : '';
  const terms = searchTerms(kind, leaf);
  return [
    tenant,
    sequence,
    body.at,
    kind,
    member('agent'),
    terms.person,
    terms.tool,
    terms.upstream,
    kind === 'decision' ? member('verdict') : '',
    terms.reason,
    terms.mode,
    terms.approval,
  ];
}

interface ControlRow {
  readonly sequence: number;
  readonly at: number;
  readonly entry: string;
  readonly payload: string | null;
}

interface StoredControlRow extends Record<
  'source' | 'tenant' | 'sequence' | 'at' | 'entry',
  string
> {
  readonly body: Buffer | null;
}

/**
 * The state in bucket `control`, and the minted roots in `keyed`, from the changes in all chains. Only those of the
 * stream that there is: with another one, sequences begin anew, and a backup is the way.
 * @throws CliError when the bucket belongs to another stream
 */
export async function rebuildControl(
  bus: Bus,
  { url, atRest }: { readonly url: string; readonly atRest: AtRest },
  repair: boolean,
): Promise<Rebuilt> {
  const count = new Count('control');
  const control = await bus.bucket('control');
  const keyed = await bus.bucket('keyed');
  const epoch = await bus.epoch('CONTROL');
  const head = await entryIn<{ readonly epoch: string }>(control, CONTROL_KEYS.head);
  if (head.entry !== undefined && head.entry.value?.epoch !== epoch) {
    throw new CliError('Bucket control belongs to another CONTROL stream.', {
      help: 'restore a backup: docs/backup.md',
    });
  }
  const state = new Map<string, ControlEntry>();
  const minted = new Map<string, unknown>();
  for (const { sequence, at, entry, payload } of await controlRows(url, epoch, atRest)) {
    count.looked += 1;
    const read = readChange({ leaf: bodyText(entry), payload: payload ?? '' });
    if (read.is === 'unknown' || read.is === 'unreadable') count.unreadable += 1;
    if (read.is !== 'change') continue;
    const effects = effectsOf(read.event);
    for (const [key, root] of effects.minted) minted.set(key, root);
    for (const [key, next] of effects.state) {
      const after = entryAfter(state.get(key), next, { sequence, at });
      if (after !== undefined) state.set(key, after);
    }
  }
  for (const [key, right] of state) await compareEntry(control, { key, right, count, repair });
  for (const [key, root] of minted) {
    const stored = await keyed.get(key);
    if (stored !== null) continue;
    count.wrong('missing', key);
    if (repair) await keyed.put(key, JSON.stringify(root));
  }
  return count;
}

async function controlRows(url: string, epoch: string, atRest: AtRest): Promise<ControlRow[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<StoredControlRow>(
      `select c.source_sequence as source, c.tenant, c.sequence, c.at, c.entry, p.body
       from chain_rows c left join payloads p using (tenant, sequence)
       where c.source_stream = 'CONTROL' and c.source_epoch = $1 order by c.source_sequence`,
      [epoch],
    );
    return rows.map(({ source, tenant, sequence, at, entry, body }) => ({
      sequence: Number(source),
      at: Number(at),
      entry,
      payload: body && atRest.open(body, payloadPlace(tenant, Number(sequence))),
    }));
  } finally {
    await client.end();
  }
}

async function compareEntry(
  control: KV,
  {
    key,
    right,
    count,
    repair,
  }: {
    readonly key: string;
    readonly right: ControlEntry;
    readonly count: Count;
    readonly repair: boolean;
  },
): Promise<void> {
  const { entry, revision } = await entryIn<unknown>(control, key);
  // What is newer than the chain is not chained yet.
  if (entry !== undefined && entry.sequence > right.sequence) return;
  const same =
    entry !== undefined &&
    entry.sequence === right.sequence &&
    canonical(asJson(entry.value)) === canonical(asJson(right.value));
  if (same) return;
  count.wrong(entry === undefined ? 'missing' : 'different', key);
  if (!repair) return;
  const text = JSON.stringify(right);
  if (revision === 0) await control.create(key, text);
  else await control.update(key, text, revision); // refused when somebody was faster: run it again
}

/** As it is stored: without members that are undefined. */
const asJson = (value: unknown): Json => JSON.parse(JSON.stringify(value ?? null)) as Json;

async function entryIn<T>(
  control: KV,
  key: string,
): Promise<{ readonly entry: ControlEntry<T> | undefined; readonly revision: number }> {
  const stored = await control.get(key);
  if (stored === null) return { entry: undefined, revision: 0 };
  const entry = stored.operation === 'PUT' ? stored.json<ControlEntry<T>>() : undefined;
  return { entry, revision: stored.revision };
}

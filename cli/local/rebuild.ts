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

/** What a row of search_rows should hold, in this order. */
type Columns = readonly [
  tenant: string,
  sequence: number,
  at: number,
  ...terms: readonly (string | number)[],
];

/** @param url of the chainer's role @param repair false = only compare */
export async function rebuildSearch(url: string, repair: boolean): Promise<Rebuilt> {
  const count = new Count('search');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const tenants = await client.query<{ tenant: string }>('select tenant from heads order by 1');
    for (const { tenant } of tenants.rows) {
      await compareSearch(client, { tenant, count, repair });
      await endExtra(client, { tenant, count, repair });
    }
    return count;
  } finally {
    await client.end();
  }
}

interface Comparing {
  readonly tenant: string;
  readonly count: Count;
  readonly repair: boolean;
}

/** Every row of the chain stands in the index as its entry says. */
async function compareSearch(
  client: pg.Client,
  { tenant, count, repair }: Comparing,
): Promise<void> {
  for (let after = 0, more = true; more;) {
    const { rows } = await client.query<{ sequence: string; entry: string }>(
      `select sequence::text, entry from chain_rows where tenant = $1 and sequence > $2
       order by sequence limit $3`,
      [tenant, after, PAGE],
    );
    const right = rows.flatMap(({ entry }) => {
      const columns = columnsOf(tenant, entry);
      return columns === undefined ? [] : [columns];
    });
    count.looked += rows.length;
    count.unreadable += rows.length - right.length;
    const found = await foundAt(client, tenant, right);
    const wrong = right.filter((columns, index) => {
      const there = found[index] ?? null;
      if (there !== null && JSON.stringify(JSON.parse(there)) === JSON.stringify(columns))
        return false;
      count.wrong(there === null ? 'missing' : 'different', `${tenant} row ${columns[1]}`);
      return true;
    });
    if (repair && wrong.length > 0) await replaceSearch(client, wrong);
    more = rows.length === PAGE;
    after = Number(rows.at(-1)?.sequence ?? after);
  }
}

/** What stands at the places of these rows, null where nothing does. */
async function foundAt(
  client: pg.Client,
  tenant: string,
  right: readonly Columns[],
): Promise<readonly (string | null)[]> {
  const { rows } = await client.query<{ found: string | null }>(
    `select (select json_build_array(s.tenant, s.sequence, s.at, s.kind, s.agent, s.person,
       s.tool, s.upstream, s.verdict, s.reason, s.mode, s.approval)::text
       from search_rows s where s.tenant = $1 and s.at = place.at and s.sequence = place.sequence) as found
     from unnest($2::bigint[], $3::bigint[]) with ordinality as place (at, sequence, number) order by number`,
    [tenant, right.map(([, , at]) => at), right.map(([, sequence]) => sequence)],
  );
  return rows.map(({ found }) => found);
}

/** Ends what stands in the index and in no row of the chain, or at another time than its entry says. */
async function endExtra(client: pg.Client, { tenant, count, repair }: Comparing): Promise<void> {
  let after = { at: Number.MIN_SAFE_INTEGER, sequence: 0 };
  for (let more = true; more;) {
    const { rows } = await client.query<{ at: string; sequence: string; entry: string | null }>(
      `select at::text, sequence::text, (select case when c.at = s.at then '' else c.entry end from chain_rows c
         where c.tenant = $1 and c.sequence = s.sequence) as entry
       from search_rows s where tenant = $1 and (at, sequence) > ($2, $3) order by s.at, s.sequence limit $4`,
      [tenant, after.at, after.sequence, PAGE],
    );
    for (const row of rows) {
      after = { at: Number(row.at), sequence: Number(row.sequence) };
      if (row.entry === '') continue;
      const said = row.entry === null ? undefined : parseEntry(row.entry)?.body.at;
      if (row.entry !== null && (said === undefined || said === after.at)) continue;
      count.wrong('extra', `${tenant} row ${after.sequence}`);
      if (repair) await client.query(DELETE, [tenant, after.at, after.sequence]);
    }
    more = rows.length === PAGE;
  }
}

const DELETE = 'delete from search_rows where tenant = $1 and at = $2 and sequence = $3';

async function replaceSearch(client: pg.Client, wrong: readonly Columns[]): Promise<void> {
  await client.query('begin');
  for (const columns of wrong) {
    const [tenant, sequence, at] = columns;
    await client.query(DELETE, [tenant, at, sequence]);
    await client.query(
      `insert into search_rows (${COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
       on conflict do nothing`,
      [...columns],
    );
  }
  await client.query('commit');
}

/** What search_rows should hold of an entry, undefined for what is none any more: `audit verify` names it. */
function columnsOf(tenant: string, text: string): Columns | undefined {
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

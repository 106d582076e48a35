/**
 * The append, on one screen: in one transaction lock the heads of all tenants concerned, leave out what is there
 * already, hash, insert, move the heads. Exactly once under redelivery, crash, and chainers that run side by side:
 * whoever holds a tenant's head sees everything that was ever chained for it.
 */
import assert from 'node:assert';

import type pg from 'pg';

import { entryHash, entryText } from '#contracts/chain.ts';
import { PLATFORM } from '#contracts/ids.ts';
import { bigintArray, byteaArray, intArray, textArray } from '#host/array-parameters.ts';
import { inTransaction } from '#host/database.ts';

import { alertAboutConflict, type Candidate } from './candidate.ts';
import { keepOrders } from './payload-orders.ts';
import { lookUp, sortOut } from './sort-out.ts';
import { type HandledMessages, keepHandled } from './spooled.ts';

/** What became of the candidates of one append. */
export interface Appended {
  readonly rows: number;
  /** Records that were there already. */
  readonly repeated: number;
  /** Rows that are alerts about what could not be chained. */
  readonly alerts: number;
}

interface Head {
  readonly sequence: number;
  readonly hash: Uint8Array;
}

export interface AppendOptions {
  /** The messages that the candidates came from. */
  readonly handled?: HandledMessages;
  /**
   * All of them are probably new: that is tried first, for looking costs a quarter of an append. Where one is there
   * already, the unique indexes of the chain refuse the whole, and it is done again with a look.
   */
  readonly presumedNew?: boolean;
}

/** Chains the candidates in their order. @throws the driver's error, with nothing appended */
export async function append(
  pool: pg.Pool,
  candidates: readonly Candidate[],
  { handled, presumedNew = false }: AppendOptions = {},
): Promise<Appended> {
  const appendWith = (look: typeof lookUp) =>
    inTransaction(pool, (client) => appendIn(client, { candidates, handled, look }));
  if (!presumedNew) return appendWith(lookUp);
  return appendWith(NOTHING_KNOWN).catch((error: unknown) => {
    if (!isUniqueViolation(error)) throw error;
    return appendWith(lookUp);
  });
}

const NOTHING_KNOWN: typeof lookUp = async () => new Map();
const isUniqueViolation = (error: unknown) => (error as { code?: string }).code === '23505';

async function appendIn(
  client: pg.PoolClient,
  {
    candidates,
    handled,
    look,
  }: {
    readonly candidates: readonly Candidate[];
    readonly handled: HandledMessages | undefined;
    readonly look: typeof lookUp;
  },
): Promise<Appended> {
  const heads = await lockHeads(client, candidates);
  const records = sortOut(candidates, await look(client, candidates));
  const alerts = records.conflicts.map(alertAboutConflict);
  if (alerts.length > 0 && !heads.has(PLATFORM)) {
    for (const [tenant, head] of await lockHeads(client, alerts)) heads.set(tenant, head);
  }
  const fresh = [...records.fresh, ...sortOut(alerts, await lookUp(client, alerts)).fresh];
  if (fresh.length > 0) await insert(client, fresh, heads);
  if (handled !== undefined) await keepHandled(client, handled);
  return {
    rows: fresh.length,
    repeated: candidates.length - records.fresh.length - records.conflicts.length,
    alerts: fresh.filter(({ source }) => source.stream === 'chainer').length,
  };
}

/** Always in the same order, the platform last, so that two chainers wait for each other and never in a circle. */
async function lockHeads(
  client: pg.PoolClient,
  candidates: readonly Candidate[],
): Promise<Map<string, Head>> {
  const tenants = [...new Set(candidates.map(({ tenant }) => tenant))].sort();
  if (tenants.includes(PLATFORM)) tenants.push(...tenants.splice(tenants.indexOf(PLATFORM), 1));
  await client.query(
    `insert into heads (tenant, sequence, hash)
     select tenant, 0, decode(repeat('00', 32), 'hex') from unnest($1::text[]) as tenant
     on conflict do nothing`,
    [tenants],
  );
  const { rows } = await client.query<{ tenant: string } & Head>(
    `select tenant, sequence, hash from heads where tenant = any($1)
     order by array_position($1, tenant) for update`,
    [tenants],
  );
  return new Map(rows.map(({ tenant, sequence, hash }) => [tenant, { sequence, hash }]));
}

interface Row extends Candidate {
  readonly sequence: number;
  readonly entry: string;
  readonly hash: Uint8Array;
}

/** Hashes in memory, then four statements whatever the number of rows. Moves the heads in `heads` too. */
async function insert(
  client: pg.PoolClient,
  fresh: readonly Candidate[],
  heads: Map<string, Head>,
): Promise<void> {
  const rows = fresh.map((candidate) => link(candidate, heads));
  // The database works on these, which are small, while the large ones are made here.
  const searchable = insertSearch(client, rows);
  const [entries, payloads] = [entryArrays(rows), payloadArrays(rows)];
  await searchable;
  await client.query(INSERT_ENTRIES, entries);
  await client.query(INSERT_PAYLOADS, payloads);
  await keepOrders(client, rows);
  const moved = [...new Set(rows.map(({ tenant }) => tenant))];
  await client.query(
    `update heads set sequence = moved.sequence, hash = moved.hash
     from unnest($1::text[], $2::bigint[], $3::bytea[]) as moved (tenant, sequence, hash)
     where heads.tenant = moved.tenant`,
    [
      moved,
      moved.map((tenant) => heads.get(tenant)?.sequence),
      moved.map((tenant) => heads.get(tenant)?.hash),
    ],
  );
}

const INSERT_ENTRIES = `insert into chain_rows (tenant, sequence, kind, record_id, decision_id, agent, verdict, at,
    source_stream, source_epoch, source_sequence, source_index, entry, hash)
  select unnest($1::text[]), unnest($2::bigint[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
    unnest($6::text[]), unnest($7::text[]), unnest($8::bigint[]), unnest($9::text[]), unnest($10::text[]),
    unnest($11::bigint[]), unnest($12::int[]), unnest($13::text[]), unnest($14::bytea[])`;

const entryArrays = (rows: readonly Row[]): Buffer[] => [
  textArray(rows.map(({ tenant }) => tenant)),
  bigintArray(rows.map(({ sequence }) => sequence)),
  textArray(rows.map(({ kind }) => kind)),
  textArray(rows.map(({ id }) => id)),
  textArray(rows.map(({ decisionId }) => decisionId)),
  textArray(rows.map(({ agent }) => agent)),
  textArray(rows.map(({ verdict }) => verdict)),
  bigintArray(rows.map(({ at }) => at)),
  textArray(rows.map(({ source }) => source.stream)),
  textArray(rows.map(({ source }) => source.epoch)),
  bigintArray(rows.map(({ source }) => source.sequence)),
  intArray(rows.map(({ source }) => source.index)),
  textArray(rows.map(({ entry }) => entry)),
  byteaArray(rows.map(({ hash }) => hash)),
];

const INSERT_PAYLOADS = `insert into payloads (tenant, sequence, body)
  select unnest($1::text[]), unnest($2::bigint[]), unnest($3::text[])`;

const payloadArrays = (rows: readonly Row[]): Buffer[] => [
  textArray(rows.map(({ tenant }) => tenant)),
  bigintArray(rows.map(({ sequence }) => sequence)),
  textArray(rows.map(({ lines: { payload } }) => payload)),
];

/** What the rows are found by (migrations/0011_search.sql). */
async function insertSearch(client: pg.PoolClient, rows: readonly Row[]): Promise<void> {
  await client.query(
    `insert into search_rows (tenant, sequence, at, kind, agent, person, tool, upstream, verdict, reason, mode, approval)
     select unnest($1::text[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::text[]), unnest($5::text[]),
       unnest($6::text[]), unnest($7::text[]), unnest($8::text[]), unnest($9::text[]), unnest($10::text[]),
       unnest($11::text[]), unnest($12::text[])`,
    [
      textArray(rows.map(({ tenant }) => tenant)),
      bigintArray(rows.map(({ sequence }) => sequence)),
      bigintArray(rows.map(({ at }) => at)),
      textArray(rows.map(({ kind }) => kind)),
      textArray(rows.map(({ agent }) => agent)),
      textArray(rows.map(({ terms }) => terms.person)),
      textArray(rows.map(({ terms }) => terms.tool)),
      textArray(rows.map(({ terms }) => terms.upstream)),
      textArray(rows.map(({ verdict }) => verdict)),
      textArray(rows.map(({ terms }) => terms.reason)),
      textArray(rows.map(({ terms }) => terms.mode)),
      textArray(rows.map(({ terms }) => terms.approval)),
    ],
  );
}

/** The next row of the candidate's chain; the head moves on. */
function link(candidate: Candidate, heads: Map<string, Head>): Row {
  const { tenant, kind, lines, source } = candidate;
  const head = heads.get(tenant);
  assert(head !== undefined, `the head of ${tenant} is not locked`);
  const sequence = head.sequence + 1;
  const entry = entryText({ body: lines.leaf, kind, sequence, source, tenant });
  const hash = entryHash(head.hash, entry);
  heads.set(tenant, { sequence, hash });
  return { ...candidate, sequence, entry, hash };
}

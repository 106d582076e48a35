/**
 * The append, on one screen: in one transaction lock the heads of all tenants concerned, leave out what is there
 * already, hash, insert, move the heads. Exactly once under redelivery, crash, and chainers that run side by side:
 * whoever holds a tenant's head sees everything that was ever chained for it.
 */
import assert from 'node:assert';

import type pg from 'pg';

import { entryHash, entryText } from '#contracts/chain.ts';
import { PLATFORM } from '#contracts/ids.ts';
import { bigintArray, byteaArray, intArray, textArray, utf8Array } from '#host/array-parameters.ts';
import { type AtRest, payloadPlace } from '#host/at-rest.ts';
import { inTransaction } from '#host/database.ts';

import { alertAboutConflict, type Candidate } from './candidate.ts';
import { keepOrders } from './payload-orders.ts';
import { lookUp, type SortedOut, sortOut } from './sort-out.ts';
import { type HandledMessages, keepHandled } from './spooled.ts';

/** The database, and what seals the payloads that it keeps. */
export interface ChainStore {
  readonly pool: pg.Pool;
  readonly atRest: AtRest;
}

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
  { pool, atRest }: ChainStore,
  candidates: readonly Candidate[],
  { handled, presumedNew = false }: AppendOptions = {},
): Promise<Appended> {
  const appendAs = (sort: typeof sorted) =>
    inTransaction(pool, (client) => appendIn(client, { candidates, handled, sort, atRest }));
  if (!presumedNew) return appendAs(sorted);
  return appendAs(allFresh).catch((error: unknown) => {
    if (!isUniqueViolation(error)) throw error;
    return appendAs(sorted);
  });
}

const sorted = async (
  client: pg.PoolClient,
  candidates: readonly Candidate[],
): Promise<SortedOut> => sortOut(candidates, await lookUp(client, candidates));
const allFresh: typeof sorted = async (_, fresh) => ({ fresh, conflicts: [] });
const isUniqueViolation = (error: unknown) => (error as { code?: string }).code === '23505';

async function appendIn(
  client: pg.PoolClient,
  {
    candidates,
    handled,
    sort,
    atRest,
  }: {
    readonly candidates: readonly Candidate[];
    readonly handled: HandledMessages | undefined;
    readonly sort: typeof sorted;
    readonly atRest: AtRest;
  },
): Promise<Appended> {
  const heads = await lockHeads(client, candidates);
  const records = await sort(client, candidates);
  const alerts = records.conflicts.map(alertAboutConflict);
  if (alerts.length > 0 && !heads.has(PLATFORM)) {
    for (const [tenant, head] of await lockHeads(client, alerts)) heads.set(tenant, head);
  }
  const fresh = [...records.fresh, ...(await sorted(client, alerts)).fresh];
  if (fresh.length > 0) await insert(client, fresh, { heads, atRest });
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
  /** The entry's text. */
  readonly entry: Uint8Array;
  readonly hash: Uint8Array;
}

/** Rows of one statement: what it copies stays in the processor's caches, on both sides. */
const STATEMENT_ROWS = 256;

/** The next rows are hashed, sealed and packed here while the database works on those before. Moves the heads in `heads` too. */
async function insert(
  client: pg.PoolClient,
  fresh: readonly Candidate[],
  { heads, atRest }: { readonly heads: Map<string, Head>; readonly atRest: AtRest },
): Promise<void> {
  const rows: Row[] = [];
  let inserted: Promise<unknown> = Promise.resolve();
  for (let from = 0; from < fresh.length; from += STATEMENT_ROWS) {
    const portion = fresh
      .slice(from, from + STATEMENT_ROWS)
      .map((candidate) => link(candidate, heads));
    const values = valuesOf(portion, atRest);
    rows.push(...portion);
    await inserted;
    inserted = client.query({ ...INSERT, values });
  }
  await inserted;
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

/**
 * Everything that there is of a row. Named, and so planned once for a connection: a plan of its own would copy the
 * arrays several times.
 */
const INSERT = {
  name: 'chain-rows',
  text: `with entries as (
      insert into chain_rows (tenant, sequence, kind, record_id, decision_id, agent, verdict, at,
        source_stream, source_epoch, source_sequence, source_index, entry, hash)
      select unnest($1::text[]), unnest($2::bigint[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
        unnest($6::text[]), unnest($7::text[]), unnest($8::bigint[]), unnest($9::text[]), unnest($10::text[]),
        unnest($11::bigint[]), unnest($12::int[]), unnest($13::text[]), unnest($14::bytea[])
    ), contents as (
      insert into payloads (tenant, sequence, body)
      select unnest($1::text[]), unnest($2::bigint[]), unnest($15::bytea[])
    )
    insert into search_rows
      (tenant, sequence, kind, agent, verdict, at, person, tool, upstream, reason, mode, approval)
    select unnest($1::text[]), unnest($2::bigint[]), unnest($3::text[]), unnest($6::text[]), unnest($7::text[]),
      unnest($8::bigint[]), unnest($16::text[]), unnest($17::text[]), unnest($18::text[]), unnest($19::text[]),
      unnest($20::text[]), unnest($21::text[])`,
};

const valuesOf = (rows: readonly Row[], { seal }: AtRest): Buffer[] => [
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
  utf8Array(rows.map(({ entry }) => entry)),
  byteaArray(rows.map(({ hash }) => hash)),
  byteaArray(
    rows.map(({ tenant, sequence, lines: { payload } }) =>
      seal(payload, payloadPlace(tenant, sequence)),
    ),
  ),
  // What the rows are found by (migrations/0011_search.sql).
  textArray(rows.map(({ terms }) => terms.person)),
  textArray(rows.map(({ terms }) => terms.tool)),
  textArray(rows.map(({ terms }) => terms.upstream)),
  textArray(rows.map(({ terms }) => terms.reason)),
  textArray(rows.map(({ terms }) => terms.mode)),
  textArray(rows.map(({ terms }) => terms.approval)),
];

/** The next row of the candidate's chain; the head moves on. */
function link(candidate: Candidate, heads: Map<string, Head>): Row {
  const { tenant, kind, lines, source } = candidate;
  const head = heads.get(tenant);
  assert(head !== undefined, `the head of ${tenant} is not locked`);
  const sequence = head.sequence + 1;
  const entry = Buffer.from(entryText({ body: lines.leaf, kind, sequence, source, tenant }));
  const hash = entryHash(head.hash, entry);
  heads.set(tenant, { sequence, hash });
  return { ...candidate, sequence, entry, hash };
}

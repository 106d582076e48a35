/**
 * The append, on one screen: in one transaction lock the heads of all tenants concerned, leave out what is there
 * already, hash, insert, move the heads. Exactly once under redelivery, crash, and chainers that run side by side:
 * whoever holds a tenant's head sees everything that was ever chained for it.
 */
import assert from 'node:assert';

import type pg from 'pg';

import { entryHash, entryText } from '#contracts/chain.ts';
import { PLATFORM } from '#contracts/ids.ts';
import { inTransaction } from '#host/database.ts';

import { alertAboutConflict, type Candidate } from './candidate.ts';
import { keepOrders } from './payload-orders.ts';
import { sortOut } from './sort-out.ts';
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

/**
 * Chains the candidates in their order. @throws the driver's error, with nothing appended
 * @param handled the messages that they came from
 */
export async function append(
  pool: pg.Pool,
  candidates: readonly Candidate[],
  handled?: HandledMessages,
): Promise<Appended> {
  return inTransaction(pool, async (client) => {
    const heads = await lockHeads(client, candidates);
    const records = await sortOut(client, candidates);
    const alerts = records.conflicts.map(alertAboutConflict);
    if (alerts.length > 0 && !heads.has(PLATFORM)) {
      for (const [tenant, head] of await lockHeads(client, alerts)) heads.set(tenant, head);
    }
    const fresh = [...records.fresh, ...(await sortOut(client, alerts)).fresh];
    if (fresh.length > 0) await insert(client, fresh, heads);
    if (handled !== undefined) await keepHandled(client, handled);
    return {
      rows: fresh.length,
      repeated: candidates.length - records.fresh.length - records.conflicts.length,
      alerts: fresh.filter(({ source }) => source.stream === 'chainer').length,
    };
  });
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
  await client.query(
    `insert into chain_rows (tenant, sequence, kind, record_id, decision_id, agent, verdict, at,
       source_stream, source_epoch, source_sequence, source_index, entry, hash)
     select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
       $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::int[], string_to_array($13, chr(10)), $14::bytea[])`,
    [
      rows.map(({ tenant }) => tenant),
      rows.map(({ sequence }) => sequence),
      rows.map(({ kind }) => kind),
      rows.map(({ id }) => id),
      rows.map(({ decisionId }) => decisionId),
      rows.map(({ agent }) => agent),
      rows.map(({ verdict }) => verdict),
      rows.map(({ at }) => at),
      rows.map(({ source }) => source.stream),
      rows.map(({ source }) => source.epoch),
      rows.map(({ source }) => source.sequence),
      rows.map(({ source }) => source.index),
      lines(rows.map(({ entry }) => entry)),
      rows.map(({ hash }) => hash),
    ],
  );
  await client.query(
    `insert into payloads (tenant, sequence, body)
     select * from unnest($1::text[], $2::bigint[], string_to_array($3, chr(10)))`,
    [
      rows.map(({ tenant }) => tenant),
      rows.map(({ sequence }) => sequence),
      lines(rows.map(({ lines: { payload } }) => payload)),
    ],
  );
  await insertSearch(client, rows);
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

/** What the rows are found by (migrations/0011_search.sql). */
async function insertSearch(client: pg.PoolClient, rows: readonly Row[]): Promise<void> {
  await client.query(
    `insert into search_rows (tenant, sequence, at, kind, agent, person, tool, upstream, verdict, reason, mode, approval)
     select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
       $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])`,
    [
      rows.map(({ tenant }) => tenant),
      rows.map(({ sequence }) => sequence),
      rows.map(({ at }) => at),
      rows.map(({ kind }) => kind),
      rows.map(({ agent }) => agent),
      rows.map(({ terms }) => terms.person),
      rows.map(({ terms }) => terms.tool),
      rows.map(({ terms }) => terms.upstream),
      rows.map(({ verdict }) => verdict),
      rows.map(({ terms }) => terms.reason),
      rows.map(({ terms }) => terms.mode),
      rows.map(({ terms }) => terms.approval),
    ],
  );
}

/** Canonical JSON holds no line break. One text costs the driver nothing; an array it escapes, a fifth of all our CPU. */
const lines = (texts: readonly string[]): string => texts.join('\n');

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

/**
 * Carries out erasures and retention in small transactions. Stopped anywhere it goes on from what is left: a payload and
 * the row that tells its erasure go and come together. What is held stays, and its erasure stays open.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

import type { DatabaseWatch } from '#host/database-watch.ts';
import { inTransaction } from '#host/database.ts';
import type { Logger } from '#host/log.ts';

import { LOCK_ORDERS } from './payload-orders.ts';

const PAUSE_MS = 2_000;
const RETENTION_MS = 60_000;
const BATCH_ROWS = 500;

export interface Eraser {
  readonly stop: () => Promise<void>;
}

export function startErasing({
  pool,
  database,
  log,
}: {
  readonly pool: pg.Pool;
  readonly database: DatabaseWatch;
  readonly log: Logger;
}): Eraser {
  const stopping = new AbortController();
  const { signal } = stopping;
  const loop = async () => {
    let retainedAt = -RETENTION_MS;
    while (!signal.aborted) {
      await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted || database.fault() !== '') continue;
      const retain = performance.now() - retainedAt >= RETENTION_MS;
      try {
        const erased = await erasePass(pool, { retain, signal });
        if (erased > 0) log.info({ erased }, 'payloads erased');
        if (retain) retainedAt = performance.now();
      } catch (error) {
        log.warn({ err: error }, 'payloads are not erased');
      }
    }
  };
  const running = loop();
  return {
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}

/** Erases until nothing more may go. Gives how many payloads. @param retain also what is kept long enough */
export async function erasePass(
  pool: pg.Pool,
  { retain, signal }: { readonly retain: boolean; readonly signal?: AbortSignal },
): Promise<number> {
  const { rows: orders } = await pool.query<{ tenant: string; id: string }>(
    `select o.tenant, o.id from payload_orders o join heads h using (tenant)
     where (o.action = 'erase' and (not o.ended or o.through < h.sequence))
       or ($1 and o.action = 'retain' and not o.ended and o.days is not null)
     order by o.tenant, o.sequence`,
    [retain],
  );
  let erased = 0;
  for (const order of orders) {
    let batch = BATCH_ROWS;
    while (batch === BATCH_ROWS && signal?.aborted !== true) {
      batch = await eraseBatch(pool, order);
      erased += batch;
    }
  }
  return erased;
}

const FITS = (order: string) =>
  `(${order}.decision_id is null or ${order}.decision_id = v.decision_id)
   and (${order}.agent is null or ${order}.agent = v.agent)
   and (${order}.person is null or ${order}.person = v.person)
   and (${order}.from_at is null or v.at >= ${order}.from_at)
   and (${order}.until_at is null or v.at < ${order}.until_at)`;

/** An erasure is about decisions before it, by their row or by their time; about these it takes what comes later, too. */
const WANTED = `from payload_orders o
  join payload_subjects v on v.tenant = o.tenant and v.sequence > o.through and ${FITS('o')}
    and (o.action = 'retain' or v.decision_sequence < o.sequence or v.at < o.at)
    and (o.days is null or v.at < extract(epoch from now()) * 1000 - o.days * 86400000::bigint)
  join payloads p on p.tenant = v.tenant and p.sequence = v.sequence
  where o.tenant = $1 and o.id = $2 and (o.action = 'erase' or not o.ended)`;

/** Whoever keeps a copy of a held call erases it, too. */
const TELL_COPIES = `insert into erased_holds (tenant, approval)
  select c.tenant, s.approval from chain_rows c
  join search_rows s on s.tenant = c.tenant and s.at = c.at and s.sequence = c.sequence and s.approval <> ''
  where c.tenant = $1 and c.sequence = any($2::bigint[]) and c.kind = 'decision' and c.verdict = 'escalate'
  on conflict do nothing`;

async function eraseBatch(
  pool: pg.Pool,
  { tenant, id }: { readonly tenant: string; readonly id: string },
): Promise<number> {
  return inTransaction(pool, async (client) => {
    await client.query(LOCK_ORDERS);
    // Before anything is looked for: what is chained meanwhile, the next pass looks at.
    const { rows: heads } = await client.query<{ sequence: number }>(
      'select sequence from heads where tenant = $1',
      [tenant],
    );
    await client.query(`select set_config('app.erasing', 'on', true)`);
    const { rows } = await client.query<{ sequence: number }>(
      `insert into payload_erasures (tenant, sequence, order_id, at)
       select v.tenant, v.sequence, $2, (extract(epoch from now()) * 1000)::bigint ${WANTED}
         and not exists (select from payload_orders h
           where h.tenant = v.tenant and h.action = 'hold' and not h.ended and ${FITS('h')})
       limit ${BATCH_ROWS}
       returning sequence`,
      [tenant, id],
    );
    const sequences = rows.map(({ sequence }) => sequence);
    await client.query('delete from payloads where tenant = $1 and sequence = any($2::bigint[])', [
      tenant,
      sequences,
    ]);
    await client.query(TELL_COPIES, [tenant, sequences]);
    if (rows.length < BATCH_ROWS) {
      await client.query(
        `update payload_orders set ended = not open, through = case when open then through else $3 end
         from (select exists (select ${WANTED}) as open) as left_over
         where tenant = $1 and id = $2 and action = 'erase'`,
        [tenant, id, heads[0]?.sequence ?? 0],
      );
    }
    return rows.length;
  });
}

/** Keeps the orders about payloads, in the transaction that chains their events: a hold counts from its row on. */
import type pg from 'pg';

import { readPayloadOrder } from '#contracts/payload-order.ts';

import type { Candidate } from './candidate.ts';

/** Held by whoever keeps an order or erases: no erasure goes on beside a hold that is being placed. */
export const LOCK_ORDERS = `select pg_advisory_xact_lock(hashtext('countersign payload orders'))`;

type Row = Candidate & { readonly sequence: number };

/** Does nothing for rows of other kinds. */
export async function keepOrders(client: pg.PoolClient, rows: readonly Row[]): Promise<void> {
  const orders = rows.filter(({ kind }) => kind === 'control.payloads');
  if (orders.length === 0) return;
  await client.query(LOCK_ORDERS);
  for (const row of orders) await keepOrder(client, row);
}

async function keepOrder(
  client: pg.PoolClient,
  { tenant, sequence, id, at, terms, lines }: Row,
): Promise<void> {
  const order = readPayloadOrder(lines.payload);
  if (order === undefined) return; // chained as evidence, and carried out by nobody
  if (order.action === 'release') {
    await client.query(
      `update payload_orders set ended = true where tenant = $1 and id = $2 and action = 'hold'`,
      [tenant, order.hold],
    );
    return;
  }
  if (order.action === 'retain') {
    await client.query(
      `update payload_orders set ended = true where tenant = $1 and action = 'retain' and not ended`,
      [tenant],
    );
  }
  const selection = order.action === 'retain' ? {} : order.selection;
  await client.query(
    `insert into payload_orders
       (tenant, sequence, id, action, at, by, decision_id, agent, person, from_at, until_at, days)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    [
      tenant,
      sequence,
      id,
      order.action,
      at,
      terms.person,
      selection.decision_id ?? null,
      selection.agent ?? null,
      selection.person ?? null,
      selection.from ?? null,
      selection.until ?? null,
      order.action === 'retain' ? order.days : null,
    ],
  );
}

/** Reads of orders about payloads, inside the one tenant that each transaction names. */
import type pg from 'pg';

import type { KeptPayloadOrder, PayloadCount } from '#contracts/payload-api.ts';
import type { PayloadSelection } from '#contracts/payload-order.ts';
import { inView } from '#host/database.ts';

export interface PayloadReads {
  /** The newest first, at most 1,000. */
  readonly orders: (tenant: string) => Promise<KeptPayloadOrder[]>;
  readonly count: (tenant: string, selection: PayloadSelection) => Promise<PayloadCount>;
}

const fits = (order: string): string =>
  `(${order}.decision_id is null or ${order}.decision_id = v.decision_id)
   and (${order}.agent is null or ${order}.agent = v.agent)
   and (${order}.person is null or ${order}.person = v.person)
   and (${order}.from_at is null or v.at >= ${order}.from_at)
   and (${order}.until_at is null or v.at < ${order}.until_at)`;

export function payloadReads(pool: pg.Pool): PayloadReads {
  const reading = async <T>(tenant: string, read: (client: pg.PoolClient) => Promise<T>) =>
    inView(pool, tenant, read);
  return {
    orders: async (tenant) =>
      reading(tenant, async (client) => {
        const { rows } = await client.query<KeptPayloadOrder>(
          `select id, action, at, by, decision_id, agent, person, from_at, until_at, days, ended,
             (select count(*) from payload_erasures e where e.tenant = o.tenant and e.order_id = o.id) as erased
           from payload_orders o where tenant = $1 order by sequence desc limit 1000`,
          [tenant],
        );
        return rows;
      }),
    count: async (tenant, { decision_id: decision, agent, person, from, until }) =>
      reading(tenant, async (client) => {
        const { rows } = await client.query<PayloadCount>(
          `select count(*) as payloads, count(*) filter (where exists (select from payload_orders h
             where h.tenant = v.tenant and h.action = 'hold' and not h.ended and ${fits('h')})) as held
           from (select $2::text as decision_id, $3::text as agent, $4::text as person,
               $5::bigint as from_at, $6::bigint as until_at) as o
             join payload_subjects v on v.tenant = $1 and ${fits('o')}
             join payloads p on p.tenant = v.tenant and p.sequence = v.sequence`,
          [tenant, decision ?? null, agent ?? null, person ?? null, from ?? null, until ?? null],
        );
        return rows[0] ?? { payloads: 0, held: 0 };
      }),
  };
}

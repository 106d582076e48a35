/** What the chain says of an agent class in a mode: how many decisions, and how many of them would be no allow. */
import { type Kysely, sql } from 'kysely';

import { type Reason, REASONS, reasonSpec } from '#contracts/reasons.ts';

import type { AuditTables } from './audit-reads.ts';

export interface Seen {
  readonly decisions: number;
  /** Decisions that a mode lifts or would lift; those that an exception lifted are not among them. */
  readonly wouldBlock: number;
}

/** @param since milliseconds UTC. Rejects when the database does not answer in time. */
export type ReadSeen = (tenant: string, agentClass: string, since: number) => Promise<Seen>;

/** Reads every decision of the tenant since then: longer is given up, and the criteria count as not met. */
const TIMEOUT = '10s';
const LIFTABLE = (Object.keys(REASONS) as Reason[]).filter((code) => reasonSpec(code).liftable);

export function seenReader(database: Kysely<AuditTables>): ReadSeen {
  return (tenant, agentClass, since) =>
    database
      .transaction()
      .setAccessMode('read only')
      .execute(async (tx) => {
        await sql`select set_config('app.tenant', ${tenant}, true),
          set_config('statement_timeout', ${TIMEOUT}, true)`.execute(tx);
        const { rows } = await sql<{ decisions: string; would_block: string }>`
          select count(*) as decisions,
            count(*) filter (where body ->> 'verdict_before_mode' <> 'allow'
              and body ->> 'reason' = any(${LIFTABLE})
              and not (body ? 'exception')) as would_block
          from (
            select (entry::jsonb) -> 'body' as body from chain_rows
            where tenant = ${tenant} and kind = 'decision' and at >= ${since}
          ) as decisions
          where body ->> 'agent_class' = ${agentClass} and body ->> 'ask' = 'decide'`.execute(tx);
        const [row] = rows;
        return {
          decisions: Number(row?.decisions ?? 0),
          wouldBlock: Number(row?.would_block ?? 0),
        };
      });
}

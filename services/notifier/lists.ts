/** Notices as operators see them, and dead letters sent again. */
import type pg from 'pg';

import type { NoticeItem, NoticeSelection, NoticeState, Replayed } from '#contracts/notify.ts';

export interface Tally {
  readonly down: boolean;
  readonly since: number;
  readonly fault: string;
  readonly due: number;
  readonly dead: number;
}

/** How each channel of a tenant is, by name; none for one that nothing was ever sent to. */
export async function readTallies(
  pool: pg.Pool,
  tenant: string,
): Promise<ReadonlyMap<string, Tally>> {
  const { rows } = await pool.query<Tally & { channel: string }>(
    `select channel, coalesce(c.down, false) as down, coalesce(c.changed_at, 0) as since,
       coalesce(c.fault, '') as fault, coalesce(n.due, 0) as due, coalesce(n.dead, 0) as dead
     from (select channel, (count(*) filter (where state = 'due'))::int as due,
         (count(*) filter (where state = 'dead'))::int as dead
       from notices where tenant = $1 and state in ('due', 'dead') group by channel) as n
     full join (select * from notice_channels where tenant = $1) as c using (channel)`,
    [tenant],
  );
  return new Map(rows.map(({ channel, ...tally }) => [channel, tally]));
}

/** A page of notices, newest first. */
export async function listNotices(
  pool: pg.Pool,
  tenant: string,
  page: { readonly state: NoticeState | ''; readonly before: number; readonly limit: number },
): Promise<{ readonly items: NoticeItem[]; readonly more: boolean }> {
  const { state, before, limit } = page;
  const { rows } = await pool.query<NoticeItem>(
    `select position, approval as approval_id, step, channel, kind, said as event, tool, state, attempts, fault,
       at, due_at
     from notices where tenant = $1 and ($2 = '' or state = $2) and position < $3
     order by position desc limit $4`,
    [tenant, state, before === 0 ? Number.MAX_SAFE_INTEGER : before, limit + 1],
  );
  return { items: rows.slice(0, limit), more: rows.length > limit };
}

/** Dead letters are due again, but for those that were erased. Nobody is asked about a call that has ended or is past its time. */
export async function replay(
  pool: pg.Pool,
  tenant: string,
  { of, now }: { readonly of: NoticeSelection; readonly now: number },
): Promise<Replayed> {
  const chosen = `n.tenant = $1 and n.state = 'dead' and ($2 = '' or n.channel = $2)
    and ($3 = '' or n.approval = $3)`;
  const over = `length(n.event) = 0 or n.kind = 'ask' and (n.expires_at <= $4
    or exists (select from notice_messages m where m.tenant = n.tenant
      and m.approval = n.approval and m.channel = n.channel and m.ended))`;
  const values = [tenant, of.channel ?? '', of.approval ?? '', now];
  const left = await pool.query<{ over: number }>(
    `select count(*)::int as over from notices n where ${chosen} and (${over})`,
    values,
  );
  const again = await pool.query(
    `update notices n set state = 'due', due_at = $4, attempts = 0, unsure = 0, started_at = null
     where ${chosen} and not (${over})`,
    values,
  );
  return { replayed: again.rowCount ?? 0, over: left.rows[0]?.over ?? 0 };
}

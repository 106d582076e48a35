/** Notices in Postgres: what is due, what was told, what could not be. */
import type pg from 'pg';

import type { Notice, NoticeEvent, Standing } from './vendor.ts';

/** A notice of an event, for the channels that it is for. */
export interface NewNotice {
  readonly tenant: string;
  readonly approval: string;
  readonly step: number;
  readonly event: NoticeEvent;
  /** Channels that are asked now; undefined = those that were asked before are told. */
  readonly ask: readonly string[] | undefined;
}

/** Keeps notices, each once. In the order of their events. */
export async function keep(
  pool: pg.Pool,
  { tenant, approval, step, event, ask }: NewNotice,
  now: number,
): Promise<void> {
  const values = [tenant, approval, step, JSON.stringify(event), now];
  const channels =
    ask === undefined
      ? `select distinct channel, 'update' from notices
         where tenant = $1 and approval = $2 and kind = 'ask'`
      : `select channel, 'ask' from unnest($6::text[]) as asked (channel)`;
  await pool.query(
    `insert into notices (tenant, approval, step, event, due_at, channel, kind)
     select $1, $2, $3::int, $4::jsonb, $5::bigint, told.* from (${channels}) as told
     on conflict do nothing`,
    ask === undefined ? values : [...values, [...ask]],
  );
}

/** A notice that this process sends now, and nobody else until its lease ends. */
export interface Claimed extends Notice {
  readonly attempts: number;
  readonly unsure: number;
  readonly standing: Standing;
}

const AT_ONCE = 16;

/** Takes what is due; of one call and channel only the oldest. Whoever took it before and never said what became of it is unsure. */
export async function claim(pool: pg.Pool, now: number, leaseMs: number): Promise<Claimed[]> {
  const { rows } = await pool.query<Omit<Claimed, 'repeat' | 'standing'> & Standing>(
    `with taken as (
       select tenant, approval, step, channel from notices n
       where state = 'due' and due_at <= $1 and not exists (
         select 1 from notices earlier
         where earlier.tenant = n.tenant and earlier.approval = n.approval
           and earlier.channel = n.channel and earlier.state = 'due' and earlier.step < n.step)
       order by due_at, position limit ${AT_ONCE} for update skip locked)
     update notices n set due_at = $1 + $2, attempts = attempts + 1, started_at = $1,
       unsure = unsure + case when started_at is null then 0 else 1 end
     from taken left join notice_messages m using (tenant, approval, channel)
     where n.tenant = taken.tenant and n.approval = taken.approval
       and n.step = taken.step and n.channel = taken.channel
     returning n.tenant, n.approval, n.step, n.channel, n.kind, n.event, n.attempts, n.unsure,
       coalesce(m.place, '') as place, coalesce(m.message, '') as message`,
    [now, leaseMs],
  );
  return rows.map(({ place, message, ...row }) => ({
    ...row,
    repeat: row.unsure > 0,
    standing: { place, message },
  }));
}

const THIS = 'tenant = $1 and approval = $2 and step = $3 and channel = $4';
const keyOf = ({ tenant, approval, step, channel }: Notice) => [tenant, approval, step, channel];

export async function markSent(pool: pg.Pool, notice: Notice, standing?: Standing): Promise<void> {
  const { tenant, approval, channel } = notice;
  if (standing !== undefined) {
    await pool.query(
      `insert into notice_messages (tenant, approval, channel, place, message)
       values ($1, $2, $3, $4, $5) on conflict (tenant, approval, channel) do update
       set place = excluded.place, message = excluded.message where notice_messages.message = ''`,
      [tenant, approval, channel, standing.place, standing.message],
    );
  }
  await pool.query(
    `update notices set state = 'sent', started_at = null, fault = '' where ${THIS}`,
    keyOf(notice),
  );
}

/** Again at a time. @param sure that it did not arrive */
export async function markLater(
  pool: pg.Pool,
  notice: Notice,
  { at, fault, sure }: { readonly at: number; readonly fault: string; readonly sure: boolean },
): Promise<void> {
  await pool.query(
    `update notices set due_at = $5, fault = $6,
     started_at = case when $7 then null else started_at end where ${THIS}`,
    [...keyOf(notice), at, fault, sure],
  );
}

/** Everything else of that channel waits too. */
export async function pause(
  pool: pg.Pool,
  { tenant, channel }: Notice,
  until: number,
): Promise<void> {
  await pool.query(
    `update notices set due_at = $3
     where tenant = $1 and channel = $2 and state = 'due' and due_at < $3`,
    [tenant, channel, until],
  );
}

export async function markDead(pool: pg.Pool, notice: Notice, fault: string): Promise<void> {
  await pool.query(
    `update notices set state = 'dead', started_at = null, fault = $5 where ${THIS}`,
    [...keyOf(notice), fault],
  );
}

/** The word that its buttons carry from now on; none before it counts any more. */
export async function keepNonce(pool: pg.Pool, notice: Notice, hash: string): Promise<void> {
  await pool.query(
    `insert into notice_messages (tenant, approval, channel, nonce_hash) values ($1, $2, $3, $4)
     on conflict (tenant, approval, channel) do update
     set nonce_hash = excluded.nonce_hash, nonce_used = false`,
    [notice.tenant, notice.approval, notice.channel, hash],
  );
}

/** Notices in Postgres: what is due, what was told, what could not be. */
import type pg from 'pg';

import type { AtRest, ContentPlace } from '#host/at-rest.ts';

import type { Notice, NoticeEvent, Standing } from './vendor.ts';
import { isEnd } from './words.ts';

/** The tables, and what seals the events in them. */
export interface NoticeStore {
  readonly pool: pg.Pool;
  readonly atRest: AtRest;
}

/** The event of a notice, sealed once for all channels; empty once it was erased. */
const eventOf = ({
  tenant,
  approval,
  step,
}: Pick<Notice, 'tenant' | 'approval' | 'step'>): ContentPlace => ({
  table: 'notices',
  tenant,
  id: `${approval} ${step}`,
});

const openEvent = (
  { open }: AtRest,
  place: Parameters<typeof eventOf>[0],
  event: Buffer,
): NoticeEvent => JSON.parse(open(event, eventOf(place))) as NoticeEvent; // of our own making

/** A channel that is asked. */
export interface Asked {
  readonly name: string;
  /** Name of what is alike there, '' where it does not group. */
  readonly similarTo: string;
  /** How long after its first call a message takes others like it. */
  readonly groupMs: number;
}

/** One notice of a message, whatever became of it. */
export interface Told {
  readonly approval: string;
  readonly step: number;
  readonly kind: Notice['kind'];
  readonly state: 'due' | 'sent' | 'dead';
  readonly event: NoticeEvent;
}

export interface SentAs {
  /** What is told with it. */
  readonly covered: readonly Pick<Told, 'approval' | 'step'>[];
  /** Calls that stand in the message. */
  readonly calls: readonly string[];
  readonly standing: Standing | undefined;
}

/** A notice of an event, for the channels that it is for. */
export interface NewNotice {
  readonly tenant: string;
  readonly approval: string;
  readonly step: number;
  readonly event: NoticeEvent;
  /** Channels that are asked now; undefined = those that were asked before are told. */
  readonly ask: readonly Asked[] | undefined;
}

/** Calls in one message: Slack takes 50 blocks. */
const GROUP_CALLS_MAX = 10;

/** Keeps notices, each once, in the order of their events. Everything here may come again. */
export async function keep(
  { pool, atRest }: NoticeStore,
  notice: NewNotice,
  now: number,
): Promise<void> {
  const { tenant, approval, step, event, ask } = notice;
  const sealed = atRest.seal(JSON.stringify(event), eventOf(notice));
  const { tool, expires_at: expiresAt } = event.value.summary;
  const values = [tenant, approval, step, sealed, now, event.event, tool, event.at, expiresAt];
  if (ask === undefined) {
    await pool.query(
      `insert into notices (tenant, approval, step, event, due_at, said, tool, at, expires_at, channel, kind, lead)
       select distinct $1, $2, $3::int, $4::bytea, $5::bigint, $6, $7, $8::bigint, $9::bigint, channel, 'update', lead
       from notices
       where tenant = $1 and approval = $2 and kind = 'ask' on conflict do nothing`,
      values,
    );
    if (isEnd(event.event)) await closeCall(pool, notice);
    return;
  }
  await placeCall(pool, notice, { ask, now });
  await pool.query(
    `insert into notices (tenant, approval, step, event, due_at, said, tool, at, expires_at, channel, kind, lead)
     select $1, $2, $3::int, $4::bytea, $5::bigint, $6, $7, $8::bigint, $9::bigint, asked.channel, 'ask', m.lead
     from unnest($10::text[]) as asked (channel) join notice_messages m
       on m.tenant = $1 and m.approval = $2 and m.channel = asked.channel on conflict do nothing`,
    [...values, ask.map(({ name }) => name)],
  );
  // Somebody else is asked from now on, or nobody is left: either way it is looked at once more.
  await pool.query(
    `update notices set settled = false
     where tenant = $1 and approval = $2 and kind = 'ask' and state = 'dead' and settled`,
    [tenant, approval],
  );
}

/**
 * Finds the message in which a call will stand: with others like it, where the newest was begun lately, still asks
 * something and has room (in a storm of calls the earlier ones are full). Two processes at once may begin two: then there are two messages.
 */
async function placeCall(
  pool: pg.Pool,
  { tenant, approval }: NewNotice,
  { ask, now }: { readonly ask: readonly Asked[]; readonly now: number },
): Promise<void> {
  await pool.query(
    `insert into notice_messages (tenant, approval, channel, similar_to, opened_at, lead)
     select $1, $2, asked.channel, asked.similar_to, coalesce(with_.opened_at, $5::bigint),
       coalesce(with_.lead, $2)
     from unnest($3::text[], $4::text[], $6::bigint[]) as asked (channel, similar_to, group_ms)
     left join lateral (
       select newest.lead, newest.opened_at from (
         select lead, opened_at from notice_messages m where asked.similar_to <> '' and m.tenant = $1
           and m.channel = asked.channel and m.similar_to = asked.similar_to and m.opened_at > $5::bigint - asked.group_ms
         order by opened_at desc limit 1) as newest
       where (select count(*) < $7::int and not bool_and(ended) from notice_messages m where m.tenant = $1
         and m.channel = asked.channel and m.similar_to = asked.similar_to
         and m.opened_at = newest.opened_at and m.lead = newest.lead)) as with_ on true
     on conflict do nothing`,
    [
      tenant,
      approval,
      ask.map(({ name }) => name),
      ask.map(({ similarTo }) => similarTo),
      now,
      ask.map(({ groupMs }) => groupMs),
      GROUP_CALLS_MAX,
    ],
  );
}

async function closeCall(pool: pg.Pool, { tenant, approval }: NewNotice): Promise<void> {
  await pool.query(
    'update notice_messages set ended = true where tenant = $1 and approval = $2 and not ended',
    [tenant, approval],
  );
}

/** A notice that this process sends now, and nobody else until its lease ends. */
export interface Claimed extends Notice {
  readonly attempts: number;
  readonly unsure: number;
  readonly standing: Standing;
}

/** Of which channels something is taken, and how much. */
export interface Share {
  readonly channels: readonly Pick<Notice, 'tenant' | 'channel'>[];
  readonly of: 'these' | 'others';
  readonly most: number;
}

/** Takes what is due; of one message only the oldest. Whoever took it before and never said what became of it is unsure. */
export async function claim(
  { pool, atRest }: NoticeStore,
  { now, leaseMs }: { readonly now: number; readonly leaseMs: number },
  { channels, of, most }: Share,
): Promise<Claimed[]> {
  const { rows } = await pool.query<Unclaimed>(
    `with taken as (
       select tenant, approval, step, channel, lead from notices n
       where state = 'due' and due_at <= $1
         and $3 = exists (select from unnest($4::text[], $5::text[]) as named (tenant, channel)
           where named.tenant = n.tenant and named.channel = n.channel)
         and not exists (
         select 1 from notices earlier
         where earlier.tenant = n.tenant and earlier.channel = n.channel
           and earlier.lead = n.lead and earlier.state = 'due' and earlier.position < n.position)
       order by due_at, position limit $6 for update skip locked)
     update notices n set due_at = $1 + $2, attempts = attempts + 1, started_at = $1,
       unsure = unsure + case when started_at is null then 0 else 1 end
     from taken left join notice_messages m
       on m.tenant = taken.tenant and m.approval = taken.lead and m.channel = taken.channel
     where n.tenant = taken.tenant and n.approval = taken.approval
       and n.step = taken.step and n.channel = taken.channel
     returning n.tenant, n.approval, n.step, n.channel, n.kind, n.event, n.lead, n.attempts,
       n.unsure, coalesce(m.place, '') as place, coalesce(m.message, '') as message`,
    [
      now,
      leaseMs,
      of === 'these',
      channels.map(({ tenant }) => tenant),
      channels.map(({ channel }) => channel),
      most,
    ],
  );
  return rows.map(({ place, message, event, ...row }) => ({
    ...row,
    event: openEvent(atRest, row, event),
    repeat: row.unsure > 0,
    standing: { place, message },
  }));
}

type Unclaimed = Omit<Claimed, 'repeat' | 'standing' | 'event'> &
  Standing & { readonly event: Buffer };

/** Everything of the calls that stand in the message of a notice, oldest first; without what was erased. */
export async function readMessage(
  { pool, atRest }: NoticeStore,
  { tenant, channel, lead }: Notice,
): Promise<Told[]> {
  const { rows } = await pool.query<Omit<Told, 'event'> & { readonly event: Buffer }>(
    `select approval, step, kind, state, event from notices
     where tenant = $1 and channel = $2 and lead = $3 and length(event) > 0 order by position`,
    [tenant, channel, lead],
  );
  return rows.map(({ event, ...told }) => ({
    ...told,
    event: openEvent(atRest, { tenant, ...told }, event),
  }));
}

const THIS = 'tenant = $1 and approval = $2 and step = $3 and channel = $4';
const keyOf = ({ tenant, approval, step, channel }: Notice) => [tenant, approval, step, channel];

/** It was sent, and with it what else the message said: `covered` by call and step, and every call that stands in it. */
export async function markSent(
  pool: pg.Pool,
  { tenant, channel, lead }: Notice,
  { covered, calls, standing }: SentAs,
): Promise<void> {
  if (standing !== undefined) {
    await pool.query(
      `insert into notice_messages (tenant, approval, channel, place, message, lead)
       select $1, stands.approval, $3, $4, $5, $6 from unnest($2::text[]) as stands (approval)
       on conflict (tenant, approval, channel) do update
       set place = excluded.place, message = excluded.message where notice_messages.message = ''`,
      [tenant, calls, channel, standing.place, standing.message, lead],
    );
  }
  await pool.query(
    `update notices n set state = 'sent', started_at = null, fault = ''
     from unnest($3::text[], $4::int[]) as covered (approval, step)
     where n.tenant = $1 and n.channel = $2 and n.approval = covered.approval
       and n.step = covered.step and n.state = 'due'`,
    [tenant, channel, covered.map(({ approval }) => approval), covered.map(({ step }) => step)],
  );
}

/** Again at a time. @param sure that it did not arrive @param counts as an attempt that failed */
export async function markLater(
  pool: pg.Pool,
  notice: Notice,
  again: {
    readonly at: number;
    readonly fault: string;
    readonly sure: boolean;
    readonly counts: boolean;
  },
): Promise<void> {
  await pool.query(
    `update notices set due_at = $5, fault = $6, attempts = attempts - case when $8 then 0 else 1 end,
     started_at = case when $7 then null else started_at end where ${THIS}`,
    [...keyOf(notice), again.at, again.fault, again.sure, again.counts],
  );
}

export async function markDead(pool: pg.Pool, notice: Notice, fault: string): Promise<void> {
  await pool.query(
    `update notices set state = 'dead', started_at = null, fault = $5, settled = kind <> 'ask'
     where ${THIS}`,
    [...keyOf(notice), fault],
  );
}

/** The words that buttons carry from now on, by call; none before them counts any more. */
export async function keepNonces(
  pool: pg.Pool,
  { tenant, channel, lead }: Notice,
  hashes: ReadonlyMap<string, string>,
): Promise<void> {
  await pool.query(
    `insert into notice_messages (tenant, approval, channel, nonce_hash, lead)
     select $1, made.approval, $3, made.hash, $5 from unnest($2::text[], $4::text[]) as made (approval, hash)
     on conflict (tenant, approval, channel) do update set nonce_hash = excluded.nonce_hash,
       nonce_used = notice_messages.nonce_used and notice_messages.nonce_hash = excluded.nonce_hash`,
    [tenant, [...hashes.keys()], channel, [...hashes.values()], lead],
  );
}

/** A call with a dead letter that nobody has looked at. */
export interface Stranded {
  readonly tenant: string;
  readonly approval: string;
  /** None of those who were asked can have been reached, or can be any more. */
  readonly unreached: boolean;
}

const STRANDED_MAX = 100;

export async function readStranded(pool: pg.Pool): Promise<Stranded[]> {
  const { rows } = await pool.query<Stranded>(
    `select tenant, approval, not exists (select from notices other
       where other.tenant = dead.tenant and other.approval = dead.approval
         and other.kind = 'ask' and (other.state <> 'dead' or other.unsure > 0)) as unreached
     from (select tenant, approval from notices where state = 'dead' and not settled
       group by tenant, approval order by min(position) limit $1) as dead`,
    [STRANDED_MAX],
  );
  return rows;
}

export async function settle(pool: pg.Pool, { tenant, approval }: Stranded): Promise<void> {
  await pool.query(
    `update notices set settled = true
     where tenant = $1 and approval = $2 and state = 'dead' and not settled`,
    [tenant, approval],
  );
}

/** Empties the events of erased calls, but for those that people still have to be told of. */
export async function eraseNotices(pool: pg.Pool): Promise<void> {
  await pool.query(
    `update notices n set event = '' from erased_holds e
     where e.tenant = n.tenant and e.approval = n.approval and n.state <> 'due' and length(n.event) > 0`,
  );
}

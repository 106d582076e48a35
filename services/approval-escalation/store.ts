/**
 * Held calls in Postgres. Each step is one conditional update on the number of the last one, together with its event:
 * of two steps at once one is taken and the other looks again, whichever process they are in.
 */
import type pg from 'pg';

import type { ApprovalState } from '#contracts/approval.ts';
import type { DecisionId, TenantId } from '#contracts/ids.ts';
import type { RecordLines } from '#contracts/record.ts';
import type { ApprovalEvent } from '#contracts/subjects.ts';
import { type AtRest, type ContentPlace, openOrEmpty } from '#host/at-rest.ts';
import { inTransaction } from '#host/database.ts';

import type { Facts, Hold } from './hold.ts';
import { type Approval, type Progress, wakeAt } from './reduce.ts';

export type Queryable = Pick<pg.Pool, 'query'>;

/** The tables, and what seals the contents that they keep. */
export interface HeldStore<Pool extends Queryable = Queryable> {
  readonly pool: Pool;
  readonly atRest: AtRest;
}

/** A stored held call. */
export interface Row extends Approval {
  readonly tenant: TenantId;
  readonly id: string;
  readonly position: number;
  readonly binding: string;
  readonly facts: Facts;
  readonly lines: RecordLines;
  /** Last step that is told. */
  readonly told: number;
  /** Its content is gone: no payload, no words, no persons. */
  readonly erased: boolean;
}

/** A step's event as it will be published. */
export interface EventRow extends RecordLines {
  readonly step: number;
  readonly event: ApprovalEvent;
}

export interface Place {
  readonly tenant: TenantId;
  readonly id: string;
}

export interface Columns {
  readonly tenant: TenantId;
  readonly id: string;
  readonly position: number;
  readonly binding: string;
  readonly state: ApprovalState;
  readonly step: number;
  readonly expires_at: number;
  readonly uses: number;
  readonly used: number;
  /** Sealed, these three; an empty payload was left out. */
  readonly progress: Buffer;
  readonly facts: Buffer;
  readonly payload: Buffer;
  readonly leaf: string;
  readonly told: number;
  readonly erased: boolean;
}

const COLUMNS =
  'tenant, id, position, binding, state, step, expires_at, uses, used, progress, facts, leaf, payload, told, erased';

/** Without the records, which may be large: for what looks at many. */
export const LIGHT = COLUMNS.replace(' leaf, payload,', " '' as leaf, ''::bytea as payload,");

export const rowsOf = (atRest: AtRest, rows: readonly Columns[]): Row[] =>
  rows.map(({ expires_at: expiresAt, leaf, payload, progress, facts, ...rest }) => ({
    ...rest,
    expiresAt,
    // Of our own making: they open only as they were sealed.
    progress: JSON.parse(atRest.open(progress, contentOf(rest, 'progress'))) as Progress,
    facts: JSON.parse(atRest.open(facts, contentOf(rest, 'facts'))) as Facts,
    lines: { leaf, payload: openOrEmpty(atRest, payload, contentOf(rest, 'payload')) },
  }));

/** A sealed column of a held call. */
export const contentOf = (
  { tenant, id }: Place,
  column: 'progress' | 'facts' | 'payload',
): ContentPlace => ({ table: 'approvals', tenant, id: `${id} ${column}` });

/** The sealed payload of a step's event. */
export const eventContent = ({ tenant, id }: Place, step: number): ContentPlace => ({
  table: 'approval_events',
  tenant,
  id: `${id} ${step}`,
});

/** The held call of an id that any of its holds was given. */
export async function findByHandle(
  { pool, atRest }: HeldStore,
  { tenant, id }: Place,
): Promise<Row | undefined> {
  const { rows } = await pool.query<Columns>(
    `select ${COLUMNS} from approvals where tenant = $1
     and id = (select id from approval_handles where tenant = $1 and handle = $2)`,
    [tenant, id],
  );
  return rowsOf(atRest, rows)[0];
}

/** What is kept beside the state. */
export type Kept = Pick<Hold, 'tenant' | 'id' | 'binding' | 'facts' | 'summary' | 'lines'>;

/** Takes a hold. stored: it is new. attached: its call is held already, or was answered. known: it came before. */
export type Taken = 'stored' | 'attached' | 'known';

/** @param first the state in which it is stored @param event of its first step */
export async function takeHold(
  { pool, atRest }: HeldStore<pg.Pool>,
  hold: Hold,
  first: { readonly approval: Approval; readonly event: EventRow },
): Promise<Taken> {
  return inTransaction(pool, async (client) => {
    const { tenant, id, binding } = hold;
    // Locks the call: a second hold of it waits here until this transaction ends.
    const { rows } = await client.query<{ id: string }>(
      `insert into approval_bindings (tenant, binding, id) values ($1, $2, $3)
       on conflict (tenant, binding) do update set binding = excluded.binding returning id`,
      [tenant, binding, id],
    );
    const handle = await client.query(
      'select 1 from approval_handles where tenant = $1 and handle = $2',
      [tenant, id],
    );
    if (handle.rowCount !== 0) return 'known';
    const newest = rows[0]?.id ?? id;
    if (newest !== id && (await stillAnswers(client, { tenant, id: newest }, hold))) {
      await attach(client, { tenant, handle: id, id: newest });
      return 'attached';
    }
    await client.query('update approval_bindings set id = $3 where tenant = $1 and binding = $2', [
      tenant,
      binding,
      id,
    ]);
    await insert({ pool: client, atRest }, hold, first);
    await attach(client, { tenant, handle: id, id });
    return 'stored';
  });
}

/** A repeat of a call finds what people say or said of it, as long as that holds; every other end is asked anew. */
async function stillAnswers(client: pg.PoolClient, place: Place, hold: Hold): Promise<boolean> {
  const { rowCount } = await client.query(
    `select 1 from approvals where tenant = $1 and id = $2 and expires_at > $3
     and state in ('pending', 'approved', 'denied', 'edited')`,
    [place.tenant, place.id, hold.summary.held_at],
  );
  return rowCount !== 0;
}

export async function attach(
  client: pg.PoolClient,
  { tenant, handle, id }: Place & { readonly handle: string },
): Promise<void> {
  await client.query('insert into approval_handles (tenant, handle, id) values ($1, $2, $3)', [
    tenant,
    handle,
    id,
  ]);
}

export async function insert(
  { pool: client, atRest }: HeldStore,
  { tenant, id, binding, facts, summary, lines }: Kept,
  { approval, event }: { readonly approval: Approval; readonly event: EventRow },
): Promise<void> {
  const { seal } = atRest;
  const place = { tenant, id };
  await client.query(
    `insert into approvals (tenant, id, binding, state, step, held_at, expires_at, wake_at, uses, progress, leaf, payload, facts, grant_of, principal)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    [
      tenant,
      id,
      binding,
      approval.state,
      approval.step,
      summary.held_at,
      approval.expiresAt,
      wakeAt(approval) ?? null,
      approval.uses,
      seal(JSON.stringify(approval.progress), contentOf(place, 'progress')),
      lines.leaf,
      seal(lines.payload, contentOf(place, 'payload')),
      seal(JSON.stringify(facts), contentOf(place, 'facts')),
      approval.progress.grantOf ?? null,
      facts.principal,
    ],
  );
  await client.query(
    'insert into approval_events (tenant, id, step, event, leaf, payload) values ($1, $2, $3, $4, $5, $6)',
    [
      tenant,
      id,
      event.step,
      event.event,
      event.leaf,
      seal(event.payload, eventContent(place, event.step)),
    ],
  );
}

/** Takes a step from `before` to `next`. False when another step came first: look again. */
export async function takeStep(
  { pool, atRest }: HeldStore,
  before: Row,
  next: Approval,
  event: EventRow,
): Promise<boolean> {
  const { rows } = await pool.query<{ changed: number }>(
    `with changed as (
       update approvals set state = $4, step = $5, used = $6, progress = $7, wake_at = $8
       where tenant = $1 and id = $2 and step = $3 and erased = $12 returning tenant, id, step
     ), recorded as (
       insert into approval_events (tenant, id, step, event, leaf, payload)
       select tenant, id, step, $9, $10, $11 from changed
     )
     select count(*)::int as changed from changed`,
    [
      before.tenant,
      before.id,
      before.step,
      next.state,
      next.step,
      next.used,
      atRest.seal(JSON.stringify(next.progress), contentOf(before, 'progress')),
      wakeAt(next) ?? null,
      event.event,
      event.leaf,
      atRest.seal(event.payload, eventContent(before, event.step)),
      before.erased,
    ],
  );
  return rows[0]?.changed === 1;
}

/** Takes a step that is the k-th use: once, however often the use is delivered. */
export async function takeUse(
  { pool, atRest }: HeldStore<pg.Pool>,
  before: Row,
  use: { readonly k: number; readonly decisionId: DecisionId; readonly at: number },
  step: { readonly next: Approval; readonly event: EventRow },
): Promise<'taken' | 'known' | 'overtaken'> {
  const { tenant, id } = before;
  return inTransaction(pool, async (client) => {
    const known = await client.query(
      'select 1 from approval_uses where tenant = $1 and id = $2 and k = $3',
      [tenant, id, use.k],
    );
    if (known.rowCount !== 0) return 'known';
    // Two instances with the same use are told apart by the step: only one of them gets it.
    if (!(await takeStep({ pool: client, atRest }, before, step.next, step.event)))
      return 'overtaken';
    await client.query(
      'insert into approval_uses (tenant, id, k, decision_id, at) values ($1, $2, $3, $4, $5)',
      [tenant, id, use.k, use.decisionId, use.at],
    );
    return 'taken';
  });
}

/** What is to be told of a held call: its state, the events since it was told last, every id that it has. */
export interface Untold {
  readonly row: Row;
  readonly events: readonly EventRow[];
  readonly handles: readonly string[];
  /** Its last use, and what is known of it. */
  readonly use: { readonly decisionId: DecisionId; readonly effect: string } | undefined;
}

export async function readUntold(
  { pool, atRest }: HeldStore<pg.Pool>,
  place: Place,
): Promise<Untold | undefined> {
  return inTransaction(pool, async (client) => {
    // One moment for all of it, so that no state is told before the event that made it.
    await client.query('set transaction isolation level repeatable read');
    const row = await findByHandle({ pool: client, atRest }, place);
    if (row === undefined) return undefined;
    const at = [row.tenant, row.id];
    const events = await client.query<EventRow & { payload: Buffer }>(
      `select step, event, leaf, payload from approval_events
       where tenant = $1 and id = $2 and step > $3 order by step`,
      [...at, row.told],
    );
    const handles = await client.query<{ handle: string }>(
      'select handle from approval_handles where tenant = $1 and id = $2',
      at,
    );
    const uses = await client.query<{ decision_id: DecisionId; effect: string }>(
      'select decision_id, effect from approval_uses where tenant = $1 and id = $2 order by k desc limit 1',
      at,
    );
    const use = uses.rows[0];
    return {
      row,
      events: events.rows.map(({ payload, ...event }) => ({
        ...event,
        payload: atRest.open(payload, eventContent(row, event.step)),
      })),
      handles: handles.rows.map(({ handle }) => handle),
      use: use === undefined ? undefined : { decisionId: use.decision_id, effect: use.effect },
    };
  });
}

export async function markTold(db: Queryable, { tenant, id, step }: Row): Promise<void> {
  await db.query('update approvals set told = $3 where tenant = $1 and id = $2 and told < $3', [
    tenant,
    id,
    step,
  ]);
}

const SWEEP_MAX = 500;

/** Held calls with events that nobody has published yet. */
export async function untold(db: Queryable): Promise<Place[]> {
  const { rows } = await db.query<Place>(
    'select tenant, id from approvals where told < step order by position limit $1',
    [SWEEP_MAX],
  );
  return rows;
}

/** Held calls that change by themselves now. */
export async function awake(db: Queryable, at: number): Promise<Place[]> {
  const { rows } = await db.query<Place>(
    'select tenant, id from approvals where wake_at <= $1 order by wake_at limit $2',
    [at, SWEEP_MAX],
  );
  return rows;
}

/** Held calls that are pending or approved, without their records. @param tenant undefined = of all */
export async function open(
  { pool, atRest }: HeldStore,
  tenant: TenantId | undefined,
): Promise<Row[]> {
  const { rows } = await pool.query<Columns>(
    `select ${LIGHT} from approvals where state in ('pending', 'approved') and ($1::text is null or tenant = $1)`,
    [tenant ?? null],
  );
  return rowsOf(atRest, rows);
}

/** Leaves a held call, all of whose steps are told, without its content. @throws when a step came first */
export async function eraseContent(
  { pool, atRest }: HeldStore<pg.Pool>,
  row: Row,
  { progress, facts }: Pick<Row, 'progress' | 'facts'>,
): Promise<void> {
  const { tenant, id, step } = row;
  await inTransaction(pool, async (client) => {
    const { rowCount } = await client.query(
      `update approvals set erased = true, principal = '', payload = '', progress = $4, facts = $5
       where tenant = $1 and id = $2 and step = $3 and told = step`,
      [
        tenant,
        id,
        step,
        atRest.seal(JSON.stringify(progress), contentOf(row, 'progress')),
        atRest.seal(JSON.stringify(facts), contentOf(row, 'facts')),
      ],
    );
    if (rowCount !== 1) throw new Error('a held call changed while it was erased');
    await client.query(`update approval_events set payload = '' where tenant = $1 and id = $2`, [
      tenant,
      id,
    ]);
  });
}

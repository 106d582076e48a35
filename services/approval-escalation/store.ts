/**
 * Held calls in Postgres. Each step is one conditional update on the number of the last one, together with its event:
 * of two steps at once one is taken and the other looks again, whichever process they are in.
 */
import type pg from 'pg';

import type { ApprovalState } from '#contracts/approval.ts';
import type { DecisionId, TenantId } from '#contracts/ids.ts';
import type { RecordLines } from '#contracts/record.ts';
import type { ApprovalEvent } from '#contracts/subjects.ts';
import { inTransaction } from '#host/database.ts';

import type { Facts, Hold } from './hold.ts';
import { type Approval, type Progress, wakeAt } from './reduce.ts';

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
  readonly progress: Progress;
  readonly facts: Facts;
  readonly leaf: string;
  readonly payload: string;
  readonly told: number;
}

const COLUMNS =
  'tenant, id, position, binding, state, step, expires_at, uses, used, progress, facts, leaf, payload, told';

/** Without the records, which may be large: for what looks at many. */
export const LIGHT = COLUMNS.replace(' leaf, payload,', " '' as leaf, '' as payload,");

export function rowOf({ expires_at: expiresAt, leaf, payload, ...rest }: Columns): Row {
  return { ...rest, expiresAt, lines: { leaf, payload } };
}

export type Queryable = Pick<pg.Pool, 'query'>;

/** The held call of an id that any of its holds was given. */
export async function findByHandle(db: Queryable, { tenant, id }: Place): Promise<Row | undefined> {
  const { rows } = await db.query<Columns>(
    `select ${COLUMNS} from approvals where tenant = $1
     and id = (select id from approval_handles where tenant = $1 and handle = $2)`,
    [tenant, id],
  );
  return rows[0] === undefined ? undefined : rowOf(rows[0]);
}

/** A page of held calls without their records, newest first, below a position. @param state '' = all */
export async function listRows(
  db: Queryable,
  tenant: TenantId,
  { state, before, limit }: { state: ApprovalState | ''; before: number; limit: number },
): Promise<Row[]> {
  const { rows } = await db.query<Columns>(
    `select ${LIGHT} from approvals where tenant = $1 ${state === '' ? 'and $2 = $2' : 'and state = $2'}
     and position < $3 order by position desc limit $4`,
    [tenant, state, before === 0 ? Number.MAX_SAFE_INTEGER : before, limit],
  );
  return rows.map(rowOf);
}

/** What waits of one principal, newest first: pending, or approved with uses left. */
export async function listOpen(
  db: Queryable,
  tenant: TenantId,
  { principal, at, limit }: { principal: string; at: number; limit: number },
): Promise<Row[]> {
  const { rows } = await db.query<Columns>(
    `select ${COLUMNS} from approvals where tenant = $1 and state in ('pending', 'approved')
     and facts->>'principal' = $2 and expires_at > $3 and used < uses and grant_of is null
     order by position desc limit $4`,
    [tenant, principal, at, limit],
  );
  return rows.map(rowOf);
}

/** What is kept beside the state. */
export type Kept = Pick<Hold, 'tenant' | 'id' | 'binding' | 'facts' | 'summary' | 'lines'>;

/** Takes a hold. stored: it is new. attached: its call is held already, or was answered. known: it came before. */
export type Taken = 'stored' | 'attached' | 'known';

/** @param first the state in which it is stored @param event of its first step */
export async function takeHold(
  pool: pg.Pool,
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
    await insert(client, hold, first);
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
  client: pg.PoolClient,
  { tenant, id, binding, facts, summary, lines }: Kept,
  { approval, event }: { readonly approval: Approval; readonly event: EventRow },
): Promise<void> {
  await client.query(
    `insert into approvals (tenant, id, binding, state, step, held_at, expires_at, wake_at, uses, progress, leaf, payload, facts, grant_of)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
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
      JSON.stringify(approval.progress),
      lines.leaf,
      lines.payload,
      JSON.stringify(facts),
      approval.progress.grantOf ?? null,
    ],
  );
  await client.query(
    'insert into approval_events (tenant, id, step, event, leaf, payload) values ($1, $2, $3, $4, $5, $6)',
    [tenant, id, event.step, event.event, event.leaf, event.payload],
  );
}

/** Takes a step from `before` to `next`. False when another step came first: look again. */
export async function takeStep(
  db: Queryable,
  before: Row,
  next: Approval,
  event: EventRow,
): Promise<boolean> {
  const { rows } = await db.query<{ changed: number }>(
    `with changed as (
       update approvals set state = $4, step = $5, used = $6, progress = $7, wake_at = $8
       where tenant = $1 and id = $2 and step = $3 returning tenant, id, step
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
      JSON.stringify(next.progress),
      wakeAt(next) ?? null,
      event.event,
      event.leaf,
      event.payload,
    ],
  );
  return rows[0]?.changed === 1;
}

/** Takes a step that is the k-th use: once, however often the use is delivered. */
export async function takeUse(
  pool: pg.Pool,
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
    if (!(await takeStep(client, before, step.next, step.event))) return 'overtaken';
    await client.query(
      'insert into approval_uses (tenant, id, k, decision_id, at) values ($1, $2, $3, $4, $5)',
      [tenant, id, use.k, use.decisionId, use.at],
    );
    return 'taken';
  });
}

/** The uses of an approval, in their order. */
export async function usesOf(
  pool: pg.Pool,
  { tenant, id }: Pick<Row, 'tenant' | 'id'>,
): Promise<{ decision_id: DecisionId; at: number; effect: string }[]> {
  const { rows } = await pool.query<{ decision_id: DecisionId; at: number; effect: string }>(
    'select decision_id, at, effect from approval_uses where tenant = $1 and id = $2 order by k',
    [tenant, id],
  );
  return rows;
}

/** What is to be told of a held call: its state, the events since it was told last, every id that it has. */
export interface Untold {
  readonly row: Row;
  readonly events: readonly EventRow[];
  readonly handles: readonly string[];
  /** Its last use, and what is known of it. */
  readonly use: { readonly decisionId: DecisionId; readonly effect: string } | undefined;
}

export async function readUntold(pool: pg.Pool, place: Place): Promise<Untold | undefined> {
  return inTransaction(pool, async (client) => {
    // One moment for all of it, so that no state is told before the event that made it.
    await client.query('set transaction isolation level repeatable read');
    const row = await findByHandle(client, place);
    if (row === undefined) return undefined;
    const at = [row.tenant, row.id];
    const events = await client.query<EventRow>(
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
      events: events.rows,
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
export async function open(db: Queryable, tenant: TenantId | undefined): Promise<Row[]> {
  const { rows } = await db.query<Columns>(
    `select ${LIGHT} from approvals where state in ('pending', 'approved') and ($1::text is null or tenant = $1)`,
    [tenant ?? null],
  );
  return rows.map(rowOf);
}

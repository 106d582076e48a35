/** In Postgres, what a decision stores beside its step: a call that was changed into another one, or a grant. */
import type pg from 'pg';

import type { EditOf } from '#contracts/approval.ts';
import { asApprovalId, type TenantId } from '#contracts/ids.ts';
import { inTransaction } from '#host/database.ts';

import type { Approval } from './reduce.ts';
import {
  attach,
  type Columns,
  type EventRow,
  type HeldStore,
  insert,
  type Kept,
  LIGHT,
  type Place,
  type Queryable,
  type Row,
  rowsOf,
  takeStep,
} from './store.ts';

/** Takes the step that changes the arguments, and notes whose wish the call is that it names. */
export async function takeEdit(
  { pool, atRest }: HeldStore<pg.Pool>,
  before: Row,
  edit: { readonly call: string; readonly by: string; readonly at: number },
  step: { readonly next: Approval; readonly event: EventRow },
): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    if (!(await takeStep({ pool: client, atRest }, before, step.next, step.event))) return false;
    await client.query(
      'insert into approval_edits (tenant, id, call, edited_by, at) values ($1, $2, $3, $4, $5)',
      [before.tenant, before.id, edit.call, edit.by, edit.at],
    );
    return true;
  });
}

/** Held calls that were changed into the call of this name since a time. @param call '' = of a row without a name */
export async function editsInto(
  db: Queryable,
  {
    tenant,
    call,
    since,
  }: { readonly tenant: TenantId; readonly call: string; readonly since: number },
): Promise<EditOf[]> {
  const { rows } = await db.query<{ id: string; edited_by: string; at: number }>(
    'select id, edited_by, at from approval_edits where tenant = $1 and call = $2 and at >= $3 order by at, id limit 64',
    [tenant, call, since],
  );
  return rows.map(({ id, edited_by: by, at }) => ({ approval_id: asApprovalId(id), by, at }));
}

/** A grant that is not stored yet. */
export interface NewGrant {
  readonly held: Kept;
  readonly approval: Approval;
  readonly event: EventRow;
}

/** Takes the last yes together with the grant that it gives. */
export async function takeGranting(
  { pool, atRest }: HeldStore<pg.Pool>,
  before: Row,
  step: { readonly next: Approval; readonly event: EventRow },
  grant: NewGrant,
): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    if (!(await takeStep({ pool: client, atRest }, before, step.next, step.event))) return false;
    const { tenant, id } = grant.held;
    await insert({ pool: client, atRest }, grant.held, grant);
    await attach(client, { tenant, handle: id, id });
    return true;
  });
}

/** Open grants of one scope, newest first. */
export async function grantsOf(
  db: Queryable,
  tenant: TenantId,
  binding: string,
): Promise<readonly Place[]> {
  const { rows } = await db.query<Place>(
    `select tenant, id from approvals where tenant = $1 and state = 'approved'
     and grant_of is not null and binding = $2 order by position desc`,
    [tenant, binding],
  );
  return rows;
}

/** Grants that hold, newest first. */
export async function listGrants(
  { pool, atRest }: HeldStore,
  tenant: TenantId,
  { at, limit }: { readonly at: number; readonly limit: number },
): Promise<Row[]> {
  const { rows } = await pool.query<Columns>(
    `select ${LIGHT} from approvals where tenant = $1 and state = 'approved' and expires_at > $2
     and used < uses and grant_of is not null order by position desc limit $3`,
    [tenant, at, limit],
  );
  return rowsOf(atRest, rows);
}

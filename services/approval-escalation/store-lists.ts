/** Reads of several held calls, and of the uses of one. */
import type pg from 'pg';

import type { ApprovalState } from '#contracts/approval.ts';
import type { DecisionId, TenantId } from '#contracts/ids.ts';

import { type Columns, type HeldStore, LIGHT, type Row, rowsOf } from './store.ts';

/** A page of held calls without their records, newest first, below a position. @param state '' = all */
export async function listRows(
  { pool, atRest }: HeldStore,
  tenant: TenantId,
  { state, before, limit }: { state: ApprovalState | ''; before: number; limit: number },
): Promise<Row[]> {
  const { rows } = await pool.query<Columns>(
    `select ${LIGHT} from approvals where tenant = $1 ${state === '' ? 'and $2 = $2' : 'and state = $2'}
     and position < $3 order by position desc limit $4`,
    [tenant, state, before === 0 ? Number.MAX_SAFE_INTEGER : before, limit],
  );
  return rowsOf(atRest, rows);
}

/** What waits of one principal, newest first: pending, or approved with uses left. */
export async function listOpen(
  { pool, atRest }: HeldStore,
  tenant: TenantId,
  { principal, at, limit }: { principal: string; at: number; limit: number },
): Promise<Row[]> {
  const { rows } = await pool.query<Columns>(
    `select ${LIGHT} from approvals where tenant = $1 and state in ('pending', 'approved')
     and principal = $2 and expires_at > $3 and used < uses and grant_of is null
     order by position desc limit $4`,
    [tenant, principal, at, limit],
  );
  return rowsOf(atRest, rows);
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

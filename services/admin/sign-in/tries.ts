/**
 * Wrong tries by name: after a few of them the name waits, longer each time. Counted before anything is compared. Codes
 * of people who are signed in count apart from signing in: whoever tries names at the door stops nobody inside.
 */
import { hash } from 'node:crypto';

import type pg from 'pg';

export type TryKind = 'sign in' | 'step up';

export interface Tries {
  /** Counts a try. Gives 0 when it may be made, else the milliseconds that the name has to wait. */
  readonly begin: (kind: TryKind, name: string, at: number) => Promise<number>;
  /** It was right: those before it do not count any more. */
  readonly forgive: (kind: TryKind, name: string) => Promise<void>;
}

/** So many may be wrong before the first wait. */
export const TRIES_FREE = 5;
const WAIT_MS = 30_000;
const WAIT_MS_MAX = 15 * 60_000;
/** Tries that are older do not count. */
const FORGET_MS = 24 * 3_600_000;

export function triesIn(pool: pg.Pool): Tries {
  return {
    begin: async (kind, name, at) => {
      const key = keyOf(kind, name);
      await pool.query('delete from sign_in_tries where last_at < $1', [at - FORGET_MS]);
      const { rowCount } = await pool.query(
        `insert into sign_in_tries as known (name, count, last_at, locked_until) values ($1, 1, $2, 0)
         on conflict (name) do update set count = known.count + 1, last_at = $2,
           locked_until = case when known.count + 1 < $3 then 0
             else $2 + least($4::bigint, $5::bigint * power(2, least(known.count + 1 - $3, 20))::bigint) end
         where known.locked_until <= $2`,
        [key, at, TRIES_FREE, WAIT_MS_MAX, WAIT_MS],
      );
      if (rowCount === 1) return 0;
      const { rows } = await pool.query<{ locked_until: number }>(
        'select locked_until from sign_in_tries where name = $1',
        [key],
      );
      return Math.max(1, (rows[0]?.locked_until ?? 0) - at);
    },
    forgive: async (kind, name) => {
      await pool.query('delete from sign_in_tries where name = $1', [keyOf(kind, name)]);
    },
  };
}

const keyOf = (kind: TryKind, name: string): string => hash('sha256', `${kind}\n${name}`, 'hex');

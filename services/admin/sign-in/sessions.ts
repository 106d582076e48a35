/** Sessions of people at the pages: a random cookie whose hash is a row in Postgres. They end by rest and by age. */
import { hash, randomBytes } from 'node:crypto';

import type pg from 'pg';

export interface Session {
  /** Hash of the cookie's value. */
  readonly id: string;
  readonly operator: string;
  /** Milliseconds UTC of the last second factor. */
  readonly steppedUpAt: number;
}

export interface Sessions {
  /** The value of the cookie of a new session. */
  readonly open: (operator: string, at: number) => Promise<string>;
  /** Untrusted: the cookie. Undefined for one that is none, or whose session has ended. */
  readonly find: (cookie: string, at: number) => Promise<Session | undefined>;
  readonly stepUp: (id: string, at: number) => Promise<void>;
  readonly close: (id: string) => Promise<void>;
  readonly closeAllOf: (operator: string) => Promise<void>;
}

/** Without a request for so long it ends. */
export const IDLE_MS = 30 * 60_000;
/** It ends at this age, whatever happens. */
export const AGE_MS = 8 * 3_600_000;
const SEEN_AGAIN_MS = 60_000;
const COOKIE_BYTES = 32;
const COOKIE = /^[A-Za-z0-9_-]{43}$/;

export function sessionsIn(pool: pg.Pool): Sessions {
  return {
    open: async (operator, at) => {
      await pool.query('delete from operator_sessions where seen_at < $1 or started_at < $2', [
        at - IDLE_MS,
        at - AGE_MS,
      ]);
      const cookie = randomBytes(COOKIE_BYTES).toString('base64url');
      await pool.query(
        `insert into operator_sessions (id, operator, started_at, seen_at, stepped_up_at)
         values ($1, $2, $3, $3, $3)`,
        [idOf(cookie), operator, at],
      );
      return cookie;
    },
    find: async (cookie, at) => {
      if (!COOKIE.test(cookie)) return undefined;
      const id = idOf(cookie);
      const { rows } = await pool.query<{
        operator: string;
        seen_at: number;
        stepped_up_at: number;
      }>(
        `select operator, seen_at, stepped_up_at from operator_sessions
         where id = $1 and seen_at >= $2 and started_at >= $3`,
        [id, at - IDLE_MS, at - AGE_MS],
      );
      const [row] = rows;
      if (row === undefined) return undefined;
      if (at - row.seen_at > SEEN_AGAIN_MS) {
        await pool.query('update operator_sessions set seen_at = $2 where id = $1', [id, at]);
      }
      return { id, operator: row.operator, steppedUpAt: row.stepped_up_at };
    },
    stepUp: async (id, at) => {
      await pool.query('update operator_sessions set stepped_up_at = $2 where id = $1', [id, at]);
    },
    close: async (id) => {
      await pool.query('delete from operator_sessions where id = $1', [id]);
    },
    closeAllOf: async (operator) => {
      await pool.query('delete from operator_sessions where operator = $1', [operator]);
    },
  };
}

const idOf = (cookie: string): string => hash('sha256', cookie, 'hex');

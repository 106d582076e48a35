/** Whether the database answers and has the schema that this process needs: asked all the time, told to /readyz. */
import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

import { clockFault, clockOffMs, type ClockReading } from './clock.ts';
import type { Logger } from './log.ts';

export interface DatabaseWatch {
  /** Why the database cannot be used, for the operator; empty = it can. */
  readonly fault: () => string;
  /** Whether its clock agrees with ours, for /readyz; empty = it does, or nobody answered yet. */
  readonly clockFault: () => string;
  /** Whoever met a failure of the database says so: until the next answer it cannot be used. */
  readonly failed: (error: unknown) => void;
  /** True as soon as it can be used; false after the time, or once closed. */
  readonly waitUsable: (maxMs: number) => Promise<boolean>;
  readonly close: () => void;
}

const ASK_MS = 1_000;
const ASK_AGAIN_MS = 250;
const ANSWER_MS_MAX = 3_000;

/** Watches from now on, whether the database is there or not. @param schema number of the newest migration needed */
export function watchDatabase(pool: pg.Pool, schema: number, log: Logger): DatabaseWatch {
  let fault = 'not asked yet';
  let closed = false;
  let clock: ClockReading | undefined;
  const ask = async (): Promise<string> => {
    try {
      const from = performance.now();
      const { rows } = await pool.query<{ number: number | null; now: Date }>({
        text: 'select max(number) as number, clock_timestamp() as now from migrations',
        query_timeout: ANSWER_MS_MAX,
      } as pg.QueryConfig);
      const [row] = rows;
      if (row !== undefined) clock = { theirs: row.now.getTime(), from, to: performance.now() };
      const found = row?.number ?? 0;
      return found >= schema ? '' : `the schema is at ${found}, ${schema} is needed: run migrate`;
    } catch (error) {
      return unanswered(error);
    }
  };
  const loop = async () => {
    while (!closed) {
      const now = await ask();
      if (now !== fault && now !== '') log.warn({ fault: now }, 'database cannot be used');
      if (now !== fault && now === '') log.info('database can be used');
      fault = now;
      await sleep(now === '' ? ASK_MS : ASK_AGAIN_MS, undefined, { ref: false });
    }
  };
  void loop();
  return {
    fault: () => fault,
    clockFault: () => (clock === undefined ? '' : clockFault(clockOffMs(clock), "Postgres's")),
    failed: (error) => {
      fault = unanswered(error);
    },
    waitUsable: async (maxMs) => {
      const deadline = Date.now() + maxMs;
      while (fault !== '' && !closed && Date.now() < deadline) await sleep(ASK_AGAIN_MS / 2);
      return fault === '' && !closed;
    },
    close: () => {
      closed = true;
    },
  };
}

/** A refused connection is an AggregateError without a message of its own. */
function unanswered(error: unknown): string {
  const { message = '', code = 'unknown' } = error as { message?: string; code?: string };
  return `Postgres does not answer: ${message === '' ? code : message}`;
}

/** Postgres: a pool under Kysely. Nothing on the decision path imports this. */
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';

import { readSecret } from './config.ts';
import type { Logger } from './log.ts';

/** bigint columns hold sequences below 2^53: numbers, not strings. */
const INT8 = 20;
pg.types.setTypeParser(INT8, (text) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new Error('bigint beyond 2^53');
  return value;
});

/** A pool for the database whose URL (with password) stands in a file. */
export function openPool(urlFile: string, log: Logger, connectionsMax = 8): pg.Pool {
  const pool = new pg.Pool({
    connectionString: readSecret(urlFile, 'database URL'),
    max: connectionsMax,
    connectionTimeoutMillis: 3_000,
    statement_timeout: 30_000,
    // A little later than the server's own limit: for a server that is gone without a word.
    query_timeout: 35_000,
    keepAlive: true,
  });
  // Without a listener a restart of the server would end this process.
  pool.on('error', (error) => log.warn({ err: error }, 'database connection lost'));
  // The pool listens to idle clients only: one that waits inside a transaction would end the process too.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

export function openDatabase<Tables>(pool: pg.Pool): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
}

/**
 * Runs `work` in one transaction: committed when it resolves, rolled back when it throws. A client whose connection
 * was lost never goes back into the pool.
 */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    client.release();
    return result;
  } catch (error) {
    const rolledBack = await client.query('rollback').then(
      () => true,
      () => false,
    );
    client.release(!rolledBack);
    throw error;
  }
}

/**
 * Runs `work` over one view of the database, in a role that sees the rows of one tenant only. Nobody waits for its end,
 * since there is nothing to keep.
 * @param tenant empty for what belongs to no tenant
 */
export async function inView<T>(
  pool: pg.Pool,
  tenant: string,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  try {
    // In one message: of a short read the ways to the database and back are the most.
    await client.query(
      `begin isolation level repeatable read, read only; set local app.tenant = ${pg.escapeLiteral(tenant)}`,
    );
    return await work(client);
  } finally {
    void client.query('rollback').then(
      () => client.release(),
      () => client.release(true),
    );
  }
}

/**
 * The schema, brought forward by numbered plain-SQL files (migrations/NNNN_name.sql). Each runs once, in a
 * transaction of its own, and is recorded with its checksum: a file that was changed after it ran is an error.
 */
import { hash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';

import pg from 'pg';

/** The folder cannot be applied to this database; nothing of the file it names was applied. */
export class MigrationError extends Error {}

interface MigrationFile {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

const FILE_NAME = /^(\d{4})_[a-z0-9_]+\.sql$/;
const FOLDER = new URL('../../migrations/', import.meta.url);

/** Any number that nothing else in the database locks: "countersign" in ASCII, cut to 63 bits. */
const ADVISORY_LOCK = '0x636f756e74657273';
/** A statement that cannot get its lock in time gives up, so that a migration never queues up everybody behind it. */
const LOCK_TIMEOUT = '10s';

/**
 * Brings the database to the newest file and gives the names of the files that it ran. Safe when several run at
 * once: the others wait, then find nothing to do. @throws MigrationError, or the driver's error
 * @param url of the role that owns the database
 */
export async function migrateDatabase(url: string, folder: URL = FOLDER): Promise<string[]> {
  const files = await readMigrations(folder);
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    await client.query(`select pg_advisory_lock(${BigInt(ADVISORY_LOCK)})`);
    await client.query(`set lock_timeout = '${LOCK_TIMEOUT}'`);
    await client.query(`create table if not exists migrations (
      number int primary key,
      name text not null,
      checksum text not null,
      applied_at timestamptz not null default now()
    )`);
    await client.query('grant select on migrations to public');
    const pending = await pendingOf(client, files);
    for (const file of pending) await apply(client, file);
    return pending.map(({ name }) => name);
  } finally {
    await client.end(); // the session ends, and its advisory lock with it
  }
}

async function readMigrations(folder: URL): Promise<MigrationFile[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  const files = await Promise.all(
    names.map(async (name) => {
      const sql = await readFile(new URL(name, folder), 'utf8');
      const number = Number(FILE_NAME.exec(name)?.[1] ?? Number.NaN);
      return { number, name, sql, checksum: hash('sha256', sql, 'hex') };
    }),
  );
  for (const [index, { number, name }] of files.entries()) {
    if (!(number > (files[index - 1]?.number ?? 0)))
      throw new MigrationError(`${name}: its number is not above the one before`);
  }
  return files;
}

/** Rows that this folder does not know come from a newer version, which is migrated first: they are left alone. */
async function pendingOf(
  client: pg.Client,
  files: readonly MigrationFile[],
): Promise<MigrationFile[]> {
  const { rows } = await client.query<{ number: number; checksum: string }>(
    'select number, checksum from migrations',
  );
  const applied = new Map(rows.map(({ number, checksum }) => [number, checksum]));
  return files.filter(({ number, name, checksum }) => {
    const recorded = applied.get(number);
    if (recorded !== undefined && recorded !== checksum) {
      throw new MigrationError(
        `${name} was changed after it was applied; write a new file instead`,
      );
    }
    return recorded === undefined;
  });
}

async function apply(client: pg.Client, { number, name, sql, checksum }: MigrationFile) {
  try {
    await client.query('begin');
    await client.query(sql);
    await client.query('insert into migrations (number, name, checksum) values ($1, $2, $3)', [
      number,
      name,
      checksum,
    ]);
    await client.query('commit');
  } catch (cause) {
    await client.query('rollback');
    throw new MigrationError(`${name}: ${(cause as Error).message}`, { cause });
  }
}

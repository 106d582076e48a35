import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { freshDatabase, startPostgres } from '#test/support/servers.ts';
import type { TestPostgres } from '#test/support/servers.ts';

import { migrateDatabase } from '../../../services/migrate/database.ts';

let postgres: TestPostgres;
let folder: string;
beforeAll(async () => {
  postgres = await startPostgres();
  folder = await mkdtemp(join(tmpdir(), 'countersign-migrations-'));
});
afterAll(async () => {
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
});

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as unknown[];
  } finally {
    await client.end();
  }
}

/** A folder of migrations with exactly these files. */
async function migrations(files: Readonly<Record<string, string>>): Promise<URL> {
  const dir = await mkdtemp(join(folder, 'set-'));
  for (const [name, sql] of Object.entries(files)) await writeFile(join(dir, name), sql);
  return pathToFileURL(`${dir}/`);
}

describe('migrateDatabase', () => {
  test('runs each file once, in order, and then has nothing to do', async () => {
    const url = await freshDatabase(postgres);
    const one = { '0001_one.sql': 'create table t (a int)' };
    const two = { ...one, '0002_two.sql': 'alter table t add b int; insert into t values (1, 2)' };
    expect(await migrateDatabase(url, await migrations(one))).toEqual(['0001_one.sql']);
    expect(await migrateDatabase(url, await migrations(two))).toEqual(['0002_two.sql']);
    expect(await migrateDatabase(url, await migrations(two))).toEqual([]);
    expect(await query(url, 'select * from t')).toEqual([{ a: 1, b: 2 }]);
    expect(await query(url, 'select number, name from migrations order by number')).toEqual([
      { number: 1, name: '0001_one.sql' },
      { number: 2, name: '0002_two.sql' },
    ]);
  });

  test('five at once on an empty database run each file exactly once', async () => {
    const url = await freshDatabase(postgres);
    const set = await migrations({
      '0001_slow.sql': 'create table t (a int); select pg_sleep(0.2)',
      '0002_row.sql': 'insert into t values (1)',
    });
    const ran = await Promise.all(Array.from({ length: 5 }, () => migrateDatabase(url, set)));
    expect(ran.flat().sort()).toEqual(['0001_slow.sql', '0002_row.sql']);
    expect(await query(url, 'select count(*)::int as rows from t')).toEqual([{ rows: 1 }]);
  });

  test('a file that changed after it ran is an error and nothing runs', async () => {
    const url = await freshDatabase(postgres);
    await migrateDatabase(url, await migrations({ '0001_one.sql': 'create table t (a int)' }));
    const changed = await migrations({
      '0001_one.sql': 'create table t (a int, b int)',
      '0002_two.sql': 'create table u (a int)',
    });
    await expect(migrateDatabase(url, changed)).rejects.toThrow(
      '0001_one.sql was changed after it was applied; write a new file instead',
    );
    expect(await query(url, "select to_regclass('u') as u")).toEqual([{ u: null }]);
  });

  test('a file that fails leaves nothing of itself behind', async () => {
    const url = await freshDatabase(postgres);
    const broken = await migrations({ '0001_bad.sql': 'create table t (a int); select 1/0' });
    await expect(migrateDatabase(url, broken)).rejects.toThrow('0001_bad.sql: division by zero');
    expect(await query(url, "select to_regclass('t') as t")).toEqual([{ t: null }]);
    expect(await query(url, 'select * from migrations')).toEqual([]);
  });

  test('two files of one number, and a file without one, are errors', async () => {
    const url = await freshDatabase(postgres);
    const twice = await migrations({ '0001_one.sql': 'select 1', '0001_two.sql': 'select 1' });
    await expect(migrateDatabase(url, twice)).rejects.toThrow('0001_two.sql: its number is not');
    const none = await migrations({ 'one.sql': 'select 1' });
    await expect(migrateDatabase(url, none)).rejects.toThrow('one.sql: its number is not');
  });

  test('our own files run on an empty database, by its owner alone', async () => {
    const url = await freshDatabase(postgres);
    const database = new URL(url).pathname.slice(1);
    await query(
      postgres.adminUrl,
      `create role migrator login createrole password 'm'; alter database ${database} owner to migrator`,
    );
    const owner = new URL(url);
    owner.username = 'migrator';
    owner.password = 'm';
    expect(await migrateDatabase(owner.href)).toContain('0001_chain.sql');
    expect(await migrateDatabase(owner.href)).toEqual([]);
  });
});

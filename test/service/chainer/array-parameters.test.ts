// Arrays in binary arrive as they were sent.

import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { bigintArray, byteaArray, intArray, textArray } from '#host/array-parameters.ts';

import { startPostgres, type TestPostgres } from '../../support/servers.ts';

let postgres: TestPostgres;
let client: pg.Client;
beforeAll(async () => {
  postgres = await startPostgres();
  client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await postgres.stop();
});

const TEXTS = ['', 'a', '"quoted" \\ {braces}, NULL', 'line\nbreak', 'grün 😀', '\u0001'];
const BIGINTS = [0, -1, 2 ** 32, 2 ** 31, -(2 ** 40) - 7, Number.MAX_SAFE_INTEGER];
const INTS = [0, -1, 2 ** 31 - 1, -(2 ** 31)];
const BYTES = [[], [0], [255, 0, 92]].map((bytes) => Buffer.from(bytes));

it.each([
  ['text', textArray(TEXTS), TEXTS],
  ['bigint', bigintArray(BIGINTS), BIGINTS.map(String)],
  ['int', intArray(INTS), INTS.map(String)],
  ['bytea', byteaArray(BYTES), BYTES.map((bytes) => `\\x${bytes.toString('hex')}`)],
  ['text', textArray([]), []],
])('%s[]', async (type, parameter, expected) => {
  const { rows } = await client.query<{ all: string[] }>(
    `select array(select value::text from unnest($1::${type}[]) as value) as all`,
    [parameter],
  );
  expect(rows[0]?.all).toEqual(expected);
});

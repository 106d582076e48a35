// What the database itself refuses, whoever asks: changing a chain, and reading another tenant's.

import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { SUBJECTS } from '#contracts/subjects.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import { decisionRecord, tenantOf } from '#test/support/records.ts';

let evidence: Evidence;
beforeAll(async () => {
  evidence = await startEvidence();
  const records = ['acme', 'other'].map((name) => decisionRecord(tenantOf(name)));
  await evidence.store('decision-worker', SUBJECTS.decisionBatch(0), records);
  const chainer = await evidence.startChainer();
  await evidence.drained();
  await chainer.stop();
});
afterAll(() => evidence.stop());

type Role = Parameters<Evidence['databaseUrl']>[0];

/** Runs statements as a role, in one transaction that is rolled back; gives the last result or the error's text. */
async function attempt(role: Role, ...statements: string[]): Promise<unknown> {
  const client = new pg.Client({ connectionString: evidence.databaseUrl(role) });
  await client.connect();
  try {
    await client.query('begin');
    let rows: unknown[] = [];
    for (const statement of statements) rows = (await client.query(statement)).rows as unknown[];
    return rows;
  } catch (error) {
    return (error as Error).message;
  } finally {
    await client.end();
  }
}

describe('no role changes a chain', () => {
  const roles: readonly Role[] = [
    'countersign_chainer',
    'countersign_admin',
    'countersign_migrator',
    'postgres',
  ];
  const statements = [
    "update chain_rows set verdict = 'block'",
    'delete from chain_rows',
    'truncate chain_rows',
    "update payloads set body = ''",
    'update payloads set sequence = sequence + 1',
    'delete from payloads',
    'truncate payloads',
    'delete from heads',
    'truncate heads',
    'update heads set sequence = sequence - 1',
    'update heads set sequence = sequence + 0',
    "update heads set tenant = 'x', sequence = sequence + 1",
  ];
  test.each(roles.flatMap((role) => statements.map((statement) => [role, statement] as const)))(
    '%s: %s',
    async (role, statement) => {
      const answer = await attempt(role, statement);
      // Row-level security shows the tables' owner no head to change at all.
      if (role === 'countersign_migrator' && statement.startsWith('update heads')) {
        expect(answer).toEqual([]);
      } else {
        expect(answer).toMatch(/^permission denied|is refused|only moves forward/);
      }
    },
  );

  test.each([
    'update heads set sequence = sequence + 1',
    "insert into heads values ('new', 0, '')",
  ])('the reader may not write at all: %s', async (statement) => {
    expect(await attempt('countersign_admin', statement)).toMatch(/^permission denied/);
  });
});

describe('row-level security', () => {
  const count = (table: string) => `select distinct tenant from ${table}`;

  test.each(['chain_rows', 'payloads', 'heads'])(
    'the reader of %s sees one tenant',
    async (table) => {
      const as = (tenant: string) => `set local app.tenant = '${tenant}'`;
      expect(await attempt('countersign_admin', as('acme'), count(table))).toEqual([
        { tenant: 'acme' },
      ]);
      expect(await attempt('countersign_admin', as('other'), count(table))).toEqual([
        { tenant: 'other' },
      ]);
      expect(await attempt('countersign_admin', as('nobody'), count(table))).toEqual([]);
      expect(await attempt('countersign_admin', as(''), count(table))).toEqual([]);
      expect(await attempt('countersign_admin', count(table))).toMatch(
        /unrecognized configuration/,
      );
      expect(
        await attempt('countersign_admin', as('acme'), `${count(table)} where tenant = 'other'`),
      ).toEqual([]);
    },
  );

  test('also the owner of the tables sees nothing by itself', async () => {
    expect(await attempt('countersign_migrator', count('chain_rows'))).toEqual([]);
  });
});

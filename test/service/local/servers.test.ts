import { readFile } from 'node:fs/promises';
import { createConnection } from 'node:net';

import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { freshDatabase, startNats, startPostgres } from '#test/support/servers.ts';
import type { TestNats, TestPostgres } from '#test/support/servers.ts';

/** The first line that a NATS server says to any client. */
async function natsGreeting(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = createConnection(Number(port), hostname);
    socket.once('error', reject);
    socket.once('data', (bytes) => {
      socket.destroy();
      resolve(bytes.toString('utf8').slice(0, 5));
    });
  });
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(sql)).rows as unknown[];
  } finally {
    await client.end();
  }
}

describe('a nats-server for tests', () => {
  let nats: TestNats;
  beforeAll(async () => {
    nats = await startNats({});
  });
  afterAll(() => nats.stop());

  test('answers, with JetStream that syncs every write', async () => {
    expect(await natsGreeting(nats.url)).toBe('INFO ');
    const jsz = (await (await fetch(`${nats.monitorUrl}/jsz`)).json()) as {
      config: { sync_always: boolean };
    };
    expect(jsz.config.sync_always).toBe(true);
  });

  test('is gone after a kill and back at the same address after a restart', async () => {
    await nats.kill();
    await expect(natsGreeting(nats.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await nats.restart();
    expect(await natsGreeting(nats.url)).toBe('INFO ');
  });
});

test('the shipped configuration starts with a password for every user', async () => {
  const nats = await startNats({ shipped: true });
  const varz = (await (await fetch(`${nats.monitorUrl}/varz`)).json()) as {
    auth_required: boolean;
  };
  expect(varz.auth_required).toBe(true);
  expect(await readFile(nats.passwordFile('ingress'), 'utf8')).toMatch(/^x[0-9a-f]{24}$/);
  await nats.stop();
});

describe('a Postgres for tests', () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ own: true });
  });
  afterAll(() => postgres.stop());

  test('keeps committed rows over kill -9 and a restart', async () => {
    await query(postgres.url, 'create table kept (id int); insert into kept values (7)');
    await postgres.kill();
    await expect(query(postgres.url, 'select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await postgres.restart();
    expect(await query(postgres.url, 'select id from kept')).toEqual([{ id: 7 }]);
  });

  test('gives databases that share their preparation and nothing else', async () => {
    let prepared = 0;
    const prepare = async (url: string): Promise<void> => {
      prepared += 1;
      await query(url, 'create table base (id int)');
    };
    const first = await freshDatabase(postgres, prepare);
    const second = await freshDatabase(postgres, prepare);
    await query(first, 'insert into base values (1)');
    expect(await query(second, 'select * from base')).toEqual([]);
    expect(prepared).toBe(1);
  });

  test('stops in order and refuses connections then', async () => {
    const other = await startPostgres({ own: true });
    await other.stop();
    await expect(query(other.url, 'select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});

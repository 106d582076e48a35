import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { CONSUMERS, STREAMS } from '#contracts/streams.ts';
import { connectBus } from '#host/nats.ts';
import { startNats, startPostgres } from '#test/support/servers.ts';
import type { TestNats, TestPostgres } from '#test/support/servers.ts';

const MAIN = new URL('../../../services/migrate/main.ts', import.meta.url).pathname;

let nats: TestNats;
let postgres: TestPostgres;
let folder: string;
beforeAll(async () => {
  [nats, postgres] = await Promise.all([startNats({ shipped: true }), startPostgres()]);
  folder = await mkdtemp(join(tmpdir(), 'countersign-migrate-'));
});
afterAll(async () => {
  await Promise.all([nats.stop(), postgres.stop()]);
  await rm(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number;
  readonly said: string;
}

/** Runs the step as a process, with this environment and nothing else of ours. */
async function run(environment: Readonly<Record<string, string>>): Promise<Ended> {
  const step = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  step.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
  step.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
  const [code] = (await once(step, 'close')) as [number];
  return { code, said };
}

test('three steps at once make schema and streams; a fourth finds nothing to do', async () => {
  const databaseUrlFile = join(folder, 'database.url');
  await writeFile(databaseUrlFile, postgres.url);
  const environment = {
    COUNTERSIGN_NATS_URL: nats.url,
    COUNTERSIGN_NATS_PASSWORD_FILE: nats.passwordFile('migrate'),
    COUNTERSIGN_NATS_MONITOR_URL: nats.monitorUrl,
    COUNTERSIGN_DATABASE_URL_FILE: databaseUrlFile,
    COUNTERSIGN_STREAM_SHRINK: '64',
  };
  const ended = await Promise.all([run(environment), run(environment), run(environment)]);
  expect(ended.map(({ code }) => code)).toEqual([0, 0, 0]);
  expect(ended.filter(({ said }) => said.includes('0001_chain.sql'))).toHaveLength(1);
  expect(await run(environment)).toEqual({
    code: 0,
    said: 'database: nothing to do\nbroker: streams, consumers and buckets are as the table says\n',
  });

  const bus = await connectBus({
    ...nats,
    user: 'operator',
    passwordFile: nats.passwordFile('operator'),
  });
  const streams = await Promise.all(
    Object.keys(STREAMS).map(async (name) => (await bus.jsm.streams.info(name)).config.name),
  );
  expect(streams).toEqual(Object.keys(STREAMS));
  const consumers = await Promise.all(
    Object.entries(CONSUMERS).map(
      async ([name, { stream }]) => (await bus.jsm.consumers.info(stream, name)).name,
    ),
  );
  expect(consumers).toEqual(Object.keys(CONSUMERS));
  await bus.close();
});

test('a missing setting is named and ends with the code for configuration', async () => {
  const { code, said } = await run({});
  expect(code).toBe(78);
  expect(said).toContain('COUNTERSIGN_DATABASE_URL_FILE is not set');
});

// Real servers for tests. Taken in this order: addresses from the environment (COUNTERSIGN_TEST_NATS_URL with
// COUNTERSIGN_TEST_NATS_MONITOR_URL, COUNTERSIGN_TEST_POSTGRES_URL of a superuser), else local binaries.
// A container engine would be the third way (testcontainers); its seam is `external` below: start one, set the address.

import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Client } from 'pg';

import { findBinary } from '#cli/local/binaries.ts';
import { startNatsServer } from '#cli/local/nats-server.ts';
import { CHECKOUT } from '#cli/local/places.ts';
import { anyFreePort } from '#cli/local/ports.ts';
import { postgresUrl, startPostgresServer } from '#cli/local/postgres.ts';
import type { OwnedProcess } from '#cli/local/process.ts';
import { NATS_USERS } from '#cli/local/secrets.ts';
import { passwordVariable } from '#contracts/permissions.ts';

/** A server that a test may stop, kill and start again on the same data and port. */
export interface TestServer {
  /** Ends it in order and removes its data. */
  readonly stop: () => Promise<void>;
  /** kill -9. */
  readonly kill: () => Promise<void>;
  /** Starts it again on its data; ends it in order before that if it still runs. */
  readonly restart: () => Promise<void>;
}

export interface TestNats extends TestServer {
  readonly url: string;
  readonly monitorUrl: string;
  /** File with the password of a user of the shipped configuration; empty where there are no users. */
  readonly passwordFile: (user: string) => string;
}

export interface TestPostgres extends TestServer {
  /** Database `postgres` as superuser. */
  readonly adminUrl: string;
  /** An empty database of its own as superuser. */
  readonly url: string;
}

export interface NatsOptions {
  /** Further configuration lines beside ports and JetStream; a later line wins over ours. */
  readonly conf?: string;
  /** True runs the shipped configuration, with its users and their permissions, instead. */
  readonly shipped?: boolean;
  /** Folder of the stream store; the caller removes it. */
  readonly store?: string;
  readonly port?: number;
}

const START_ATTEMPTS = 5;
const SHIPPED_CONF = join(CHECKOUT, 'compose', 'nats.conf');

/** Starts nats-server: JetStream that syncs always, no authorization, unless `conf` says otherwise. */
export async function startNats(options: NatsOptions = {}): Promise<TestNats> {
  const url = process.env['COUNTERSIGN_TEST_NATS_URL'];
  const monitorUrl = process.env['COUNTERSIGN_TEST_NATS_MONITOR_URL'];
  if (url !== undefined && monitorUrl !== undefined && Object.keys(options).length === 0) {
    return { url, monitorUrl, passwordFile: () => '', ...external('nats-server') };
  }
  const dir = await temporaryFolder('nats');
  const passwords = await makePasswords(dir, options.shipped === true ? NATS_USERS : []);
  return retryPorts(async () => {
    const port = options.port ?? (await anyFreePort());
    const monitorPort = await anyFreePort(new Set([port]));
    const store = options.store ?? join(dir, 'store');
    const configFile = options.shipped === true ? SHIPPED_CONF : join(dir, 'nats.conf');
    if (options.shipped !== true) {
      await writeFile(configFile, plainConf({ port, monitorPort, store, conf: options.conf }));
    }
    const servedAt = `http://127.0.0.1:${monitorPort}`;
    const server = await controlled(dir, async () =>
      startNatsServer({
        binary: await findBinary('nats-server', console.error),
        configFile,
        monitorUrl: servedAt,
        logFile: join(dir, 'nats.log'),
        env: {
          COUNTERSIGN_NATS_NAME: 'countersign-test',
          COUNTERSIGN_NATS_HOST: '127.0.0.1',
          COUNTERSIGN_NATS_PORT: String(port),
          COUNTERSIGN_NATS_MONITOR: `127.0.0.1:${monitorPort}`,
          COUNTERSIGN_NATS_STORE: store,
          COUNTERSIGN_NATS_STORE_KEY: 'a-key-of-tests-that-is-no-secret',
          COUNTERSIGN_NATS_STORE_KEY_BEFORE: 'a-key-of-tests-that-is-no-secret',
          ...passwords,
        },
      }),
    );
    const passwordFile = (user: string): string =>
      options.shipped === true ? join(dir, `${user}.password`) : '';
    return { url: `nats://127.0.0.1:${port}`, monitorUrl: servedAt, passwordFile, ...server };
  });
}

/** Starts Postgres. `own: true` never takes the one of the environment, for tests that kill it. */
export async function startPostgres(options: { own?: boolean } = {}): Promise<TestPostgres> {
  const given = process.env['COUNTERSIGN_TEST_POSTGRES_URL'];
  if (given !== undefined && options.own !== true) {
    const url = await freshDatabase({ adminUrl: given });
    return { adminUrl: given, url, ...external('Postgres') };
  }
  const dir = await temporaryFolder('postgres');
  const password = randomBytes(12).toString('hex');
  return retryPorts(async () => {
    const port = await anyFreePort();
    const server = await controlled(dir, () =>
      startPostgresServer({
        dir: join(dir, 'postgres'),
        port,
        password,
        logFile: join(dir, 'postgres.log'),
        // A killed process loses nothing without fsync, only a power cut would; it halves the time of a suite.
        settings: { fsync: 'off' },
      }),
    );
    const adminUrl = postgresUrl(port, { user: 'postgres', password }, 'postgres');
    return { adminUrl, url: await freshDatabase({ adminUrl }), ...server };
  });
}

type Prepare = (url: string) => Promise<void>;

const templates = new Map<Prepare, Map<string, Promise<string>>>();

/**
 * Gives the address of a new database. With `prepare` (migrations, roles) that function runs once for this test
 * file, in a template, and every database is a copy of it (about 50 ms).
 */
export async function freshDatabase(
  postgres: { readonly adminUrl: string },
  prepare?: Prepare,
): Promise<string> {
  if (prepare === undefined) return createDatabase(postgres.adminUrl, 'template0');
  const perServer = templates.get(prepare) ?? new Map<string, Promise<string>>();
  templates.set(prepare, perServer);
  const template = perServer.get(postgres.adminUrl) ?? makeTemplate(postgres.adminUrl, prepare);
  perServer.set(postgres.adminUrl, template);
  return createDatabase(postgres.adminUrl, await template);
}

async function makeTemplate(adminUrl: string, prepare: Prepare): Promise<string> {
  const url = await createDatabase(adminUrl, 'template0');
  await prepare(url);
  return new URL(url).pathname.slice(1);
}

async function createDatabase(adminUrl: string, template: string): Promise<string> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  const client = new Client({ connectionString: adminUrl });
  await client.connect();
  try {
    await client.query(`create database ${name} template ${template}`);
  } finally {
    await client.end();
  }
  const url = new URL(adminUrl);
  url.pathname = name;
  return url.href;
}

async function controlled(dir: string, start: () => Promise<OwnedProcess>): Promise<TestServer> {
  let running = await start();
  return {
    stop: async () => {
      await running.stop();
      await rm(dir, { recursive: true, force: true });
    },
    kill: async () => {
      running.signal('SIGKILL');
      await running.exited;
    },
    restart: async () => {
      await running.stop();
      running = await start();
    },
  };
}

/** Not ours: a test that has to end it must start its own. */
function external(name: string): TestServer {
  const refuse = async (): Promise<void> => {
    throw new Error(`${name} comes from the environment and is not ours to end`);
  };
  return { stop: async () => {}, kill: refuse, restart: refuse };
}

/** Another process can take a port between our look and the server's bind. */
async function retryPorts<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start();
    } catch (error) {
      const taken = error instanceof Error && /address already in use/i.test(error.message);
      if (!taken || attempt === START_ATTEMPTS) throw error;
    }
  }
}

/** Writes a password file for each user and gives the server's environment. */
async function makePasswords(
  dir: string,
  users: readonly string[],
): Promise<Record<string, string>> {
  const environment: Record<string, string> = {};
  for (const user of users) {
    const password = `x${randomBytes(12).toString('hex')}`;
    await writeFile(join(dir, `${user}.password`), password, { mode: 0o600 });
    environment[passwordVariable(user)] = password;
  }
  return environment;
}

async function temporaryFolder(name: string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), `countersign-${name}-`));
  // Under root, Postgres runs as another user and has to reach its folder.
  await chmod(dir, 0o755);
  return dir;
}

function plainConf(values: {
  port: number;
  monitorPort: number;
  store: string;
  conf: string | undefined;
}): string {
  return [
    `listen: "127.0.0.1:${values.port}"`,
    `http: "127.0.0.1:${values.monitorPort}"`,
    `jetstream { store_dir: ${JSON.stringify(values.store)}, sync_interval: always }`,
    values.conf ?? '',
    '',
  ].join('\n');
}

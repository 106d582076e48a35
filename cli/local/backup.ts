// One directory that holds everything of a stopped local system, and a system made of it again. Stopped, because only then
// chain and spool are of one moment: a row that is chained is acknowledged, and whatever is not is still in a stream.

import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import {
  chown,
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { join, relative } from 'node:path';

import { CliError, EXIT } from '#cli/output.ts';

import { placesIn } from './places.ts';
import { postgresAccount } from './postgres-account.ts';
import { clearRun, endLeftovers, supervisorOf, takeLock } from './run-state.ts';

export interface Manifest {
  readonly format: 'countersign-backup-1';
  /** RFC 3339. */
  readonly made_at: string;
  /** Whether the folder `secrets` is in it. */
  readonly secrets: boolean;
  /** Tells the secrets of this system from those of another; says nothing about any of them. */
  readonly secrets_id: string;
  readonly files: number;
  readonly bytes: number;
  /** SHA-256 of SHA256SUMS. */
  readonly sums: string;
}

const MANIFEST = 'manifest.json';
const SUMS = 'SHA256SUMS';
const POLICY = 'witness.policy';
/** What the record needs; everything else is made again from it, or is not ours to keep. */
const STORES = ['postgres', 'nats'] as const;

/**
 * Copies the stopped system below `dir` into a new folder. Never the witness: it must not forget what it has seen.
 * @throws CliError while the system runs, or where the folder is there already
 */
export async function makeBackup(
  dir: string,
  { into, secrets }: { readonly into: string; readonly secrets: boolean },
): Promise<Manifest> {
  if (existsSync(into)) {
    throw new CliError(`${into} is there already.`, {
      exitCode: EXIT.misuse,
      help: 'name a folder that is not there yet',
    });
  }
  const places = placesIn(dir);
  if (!existsSync(join(places.data, 'postgres', 'data'))) {
    throw new CliError(`There is no system below ${dir}.`, { help: 'npm run up' });
  }
  return whileStopped(dir, async () => {
    const draft = `${into}.part`;
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true, mode: 0o700 });
    for (const store of STORES) {
      await copyTree(join(places.data, store), join(draft, 'data', store));
    }
    if (existsSync(places.witnessPolicy)) await cp(places.witnessPolicy, join(draft, POLICY));
    if (secrets) await copyTree(places.secrets, join(draft, 'secrets'));
    const { files, bytes, text } = await sumsOf(draft);
    const manifest: Manifest = {
      format: 'countersign-backup-1',
      made_at: new Date().toISOString(),
      secrets,
      secrets_id: await secretsId(places.secrets),
      files,
      bytes,
      sums: `sha256:${createHash('sha256').update(text).digest('hex')}`,
    };
    await writeFile(join(draft, SUMS), text);
    await writeFile(join(draft, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    await rename(draft, into); // so that a folder of this name is always a whole backup
    return manifest;
  });
}

/** What is wrong with a backup, the first few; empty = every file is what it was. @throws CliError for what is none */
export async function checkBackup(
  folder: string,
): Promise<{ readonly manifest: Manifest; readonly wrong: readonly string[] }> {
  const manifest = await readManifest(folder);
  const text = await readFile(join(folder, SUMS), 'utf8').catch(() => '');
  const sums = `sha256:${createHash('sha256').update(text).digest('hex')}`;
  if (sums !== manifest.sums) return { manifest, wrong: [SUMS] };
  const now = new Map((await sumsOf(folder)).lines);
  const wrong = text
    .trimEnd()
    .split('\n')
    .map((line) => [line.slice(66), line.slice(0, 64)] as const)
    .filter(([name, sum]) => now.get(name) !== sum)
    .map(([name]) => name);
  return { manifest, wrong };
}

/**
 * Makes a system of a backup below `dir`, where there must be none. The witness that is there, if any, stays as it is:
 * it knows whether the backup is the newest that there was.
 * @throws CliError where a system is, where secrets are missing or are another system's
 */
export async function restoreBackup(folder: string, dir: string): Promise<Manifest> {
  const places = placesIn(dir);
  const manifest = await readManifest(folder);
  for (const store of STORES) {
    if (existsSync(join(places.data, store))) {
      throw new CliError(
        `${join(places.data, store)} is there: a backup is restored into an empty place only.`,
        {
          exitCode: EXIT.misuse,
          help: `move ${places.data} away, or name another place: COUNTERSIGN_DIR=FOLDER`,
        },
      );
    }
  }
  const own = existsSync(join(places.secrets, 'mac'));
  if (!own && !manifest.secrets) {
    throw new CliError('The backup holds no secrets, and there are none here.', {
      help: `put the folder secrets of that system to ${places.secrets}; without its keys no record of it is believed`,
    });
  }
  const secrets = own ? places.secrets : join(folder, 'secrets');
  // Backups of before the streams were sealed need no key for them.
  const ids = [await secretsId(secrets), await secretsId(secrets, [])];
  if (!ids.includes(manifest.secrets_id)) {
    throw new CliError(`The secrets in ${secrets} are those of another system.`, {
      help: 'put the secrets that belong to the backup there; what other keys signed is refused',
    });
  }
  return whileStopped(dir, async () => {
    if (!own) await copyTree(secrets, places.secrets);
    if (existsSync(join(folder, POLICY)) && !existsSync(places.witnessPolicy))
      await cp(join(folder, POLICY), places.witnessPolicy);
    for (const store of STORES)
      await copyTree(join(folder, 'data', store), join(places.data, store));
    await giveToPostgres(join(places.data, 'postgres', 'data'));
    return manifest;
  });
}

/** Under the supervisor's lock: nothing can start meanwhile. */
async function whileStopped<T>(dir: string, work: () => Promise<T>): Promise<T> {
  await mkdir(placesIn(dir).run, { recursive: true });
  const running = (await supervisorOf(dir)) ?? (await takeLock(dir));
  if (running !== undefined) {
    throw new CliError(
      `The system runs (supervisor ${running.pid}); it has to be stopped for this.`,
      {
        help: 'npm run down',
      },
    );
  }
  try {
    await endLeftovers(dir);
    return await work();
  } finally {
    clearRun(dir);
  }
}

const copyTree = (from: string, to: string): Promise<void> =>
  cp(from, to, { recursive: true, errorOnExist: true, force: false, preserveTimestamps: true });

/** Where Postgres runs as another account than we do, its data are that account's. */
async function giveToPostgres(data: string): Promise<void> {
  const account = await postgresAccount([data]);
  if (account === undefined) return;
  await chown(data, account.uid, account.gid);
  for (const entry of await readdir(data, { recursive: true })) {
    await chown(join(data, entry), account.uid, account.gid);
  }
}

async function readManifest(folder: string): Promise<Manifest> {
  const text = await readFile(join(folder, MANIFEST), 'utf8').catch(() => '');
  try {
    const manifest = JSON.parse(text) as Manifest;
    if (manifest.format === 'countersign-backup-1') return manifest;
  } catch {
    // told below
  }
  throw new CliError(`${folder} is no backup.`, { exitCode: EXIT.misuse });
}

interface Sums {
  readonly files: number;
  readonly bytes: number;
  /** As `sha256sum` writes it. */
  readonly text: string;
  /** Sum by name. */
  readonly lines: readonly (readonly [name: string, sum: string])[];
}

/** Of every file below a folder but the two that say so. */
async function sumsOf(folder: string): Promise<Sums> {
  const lines: (readonly [string, string])[] = [];
  let bytes = 0;
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(folder, join(parentPath, name)))
    .filter((name) => name !== MANIFEST && name !== SUMS)
    .sort();
  for (const name of files) {
    const hash = createHash('sha256');
    for await (const part of createReadStream(join(folder, name))) hash.update(part as Buffer);
    lines.push([name, hash.digest('hex')]);
    bytes += (await lstat(join(folder, name))).size;
  }
  const text = lines.map(([name, sum]) => `${sum}  ${name}\n`).join('');
  return { files: files.length, bytes, text, lines };
}

/** Without it the broker finds no streams in its store. */
const STORE_KEY = 'nats-store.key';

/** Of the keys without which the record is not believed or not read. */
async function secretsId(secrets: string, more: readonly string[] = [STORE_KEY]): Promise<string> {
  const hash = createHash('sha256');
  const mac = (await readdir(join(secrets, 'mac')).catch(() => [])).filter((name) =>
    name.endsWith('.key'),
  );
  const keys = mac.sort().map((name) => join('mac', name));
  const others = ['log.key', 'pseudonym.key', join('database', 'postgres'), ...more];
  for (const name of [...keys, ...others]) {
    hash.update(`${name}\n`).update(await readFile(join(secrets, name)).catch(() => ''));
  }
  return hash.digest('hex').slice(0, 32);
}

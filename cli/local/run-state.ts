// What runs, written down for other commands: one lock that names the supervisor, one file that describes the
// system. A supervisor that was killed leaves both behind; the next command cleans up after it.

import { linkSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { CliError } from '#cli/output.ts';

import { placesIn } from './places.ts';
import { writePrivate } from './private-file.ts';
import { identify, isAlive } from './process-identity.ts';
import type { ProcessIdentity } from './process-identity.ts';

/** A command to paste with what it will show. */
export interface Hint {
  readonly title: string;
  readonly command: string;
  readonly expect: string;
}

/** What the demo tenant's caller needs; paths of files, never secrets. */
export interface Demo {
  readonly tenant: string;
  readonly agent: string;
  readonly audience: string;
  readonly identity_token_file: string;
  readonly capability_file: string;
  readonly operator_token_files: readonly string[];
}

export interface RecordedProcess extends ProcessIdentity {
  readonly name: string;
  readonly restarts: number;
  /** Address that answers 2xx when it is ready; empty for Postgres, which is asked by a connection. */
  readonly readyUrl: string;
}

export interface SystemState {
  readonly phase: 'starting' | 'ready' | 'stopping';
  readonly supervisor: ProcessIdentity;
  readonly urls: {
    readonly ingress: string;
    readonly admin: string;
    readonly nats: string;
    readonly natsMonitor: string;
    readonly postgres: string;
    readonly upstream: string;
    readonly chat: string;
  };
  /** In the order in which they were started. */
  readonly processes: readonly RecordedProcess[];
  readonly demo?: Demo;
  readonly hints?: readonly Hint[];
}

/** How long all leftovers together may take to end in order. */
const LEFTOVER_MS_MAX = 10_000;
const LOCK_ATTEMPTS = 5;
/** A first start may build two programs; see binaries.ts. */
const READY_MS_MAX = 1_200_000;

/** The description of the system below `dir`, undefined when none was left there. */
export function readState(dir: string): SystemState | undefined {
  return readJson<SystemState>(placesIn(dir).state);
}

export function writeState(dir: string, state: SystemState): void {
  writePrivate(placesIn(dir).state, `${JSON.stringify(state, null, 2)}\n`);
}

/** The living supervisor of the system below `dir`. */
export async function supervisorOf(dir: string): Promise<ProcessIdentity | undefined> {
  const holder = readJson<ProcessIdentity>(lockFile(dir));
  return holder !== undefined && (await isAlive(holder)) ? holder : undefined;
}

/** Returns when the system that another process is starting is ready. Throws CliError when that gives up. */
export async function waitForSystem(dir: string): Promise<void> {
  const deadline = Date.now() + READY_MS_MAX;
  while (readState(dir)?.phase !== 'ready') {
    if ((await supervisorOf(dir)) === undefined || Date.now() > deadline) {
      throw new CliError('The process that was starting the system did not come to its end.', {
        help: 'npm run up',
      });
    }
    await sleep(200);
  }
}

/** Makes this process the supervisor. Gives the living one instead when there is one already. */
export async function takeLock(dir: string): Promise<ProcessIdentity | undefined> {
  const lock = lockFile(dir);
  const draft = `${lock}.${process.pid}`;
  writePrivate(draft, JSON.stringify(await identify(process.pid)));
  try {
    for (let attempt = 0; attempt < LOCK_ATTEMPTS; attempt += 1) {
      if (tryLink(draft, lock)) return undefined;
      const holder = readJson<ProcessIdentity>(lock);
      if (holder !== undefined && (await isAlive(holder))) return holder;
      removeStale(lock, holder);
    }
    throw new Error(`${lock} cannot be taken`);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Ends the run: nothing of it is left to describe. MUST only be called by the holder of the lock. */
export function clearRun(dir: string): void {
  rmSync(placesIn(dir).state, { force: true });
  rmSync(lockFile(dir), { force: true });
}

/** Ends what a killed supervisor left running, last started first. Gives the names. Foreign processes are safe. */
export async function endLeftovers(dir: string): Promise<string[]> {
  const ended: string[] = [];
  const deadline = Date.now() + LEFTOVER_MS_MAX;
  for (const recorded of readState(dir)?.processes.toReversed() ?? []) {
    if (!(await isAlive(recorded))) continue;
    ended.push(recorded.name);
    await endProcess(recorded, deadline);
  }
  return ended;
}

/** Ends a recorded process in order, by force after the deadline; returns when it is gone. */
export async function endProcess(recorded: ProcessIdentity, deadline: number): Promise<void> {
  // SIGINT is an orderly end for our services, for nats-server and, other than SIGTERM, also for Postgres.
  await signalOnce(recorded, 'SIGINT');
  while (await isAlive(recorded)) {
    if (Date.now() > deadline) await signalOnce(recorded, 'SIGKILL');
    await sleep(50);
  }
}

async function signalOnce(recorded: ProcessIdentity, signal: NodeJS.Signals): Promise<void> {
  if (!(await isAlive(recorded))) return;
  try {
    process.kill(recorded.pid, signal);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ESRCH') throw error;
  }
}

function lockFile(dir: string): string {
  return join(placesIn(dir).run, 'supervisor.lock');
}

/** Hard links are the one atomic "create with content unless it exists" of a file system. */
function tryLink(draft: string, lock: string): boolean {
  try {
    linkSync(draft, lock);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes the lock of a dead holder; puts it back when another process replaced it in between. */
function removeStale(lock: string, dead: ProcessIdentity | undefined): void {
  const aside = `${lock}.stale.${process.pid}`;
  try {
    renameSync(lock, aside);
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return;
    throw error;
  }
  if (JSON.stringify(readJson(aside)) !== JSON.stringify(dead)) tryLink(aside, lock);
  rmSync(aside);
}

function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    return undefined;
  }
}

import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { isFree } from '#cli/local/ports.ts';
import { identify, isAlive } from '#cli/local/process-identity.ts';
import type { ProcessIdentity } from '#cli/local/process-identity.ts';
import { hasSetpriv } from '#cli/local/process.ts';
import { endLeftovers, readState, supervisorOf } from '#cli/local/run-state.ts';
import { statusOf } from '#cli/local/status.ts';
import { AlreadyRunning, startSystem } from '#cli/local/system.ts';
import type { RunningSystem, SystemOptions } from '#cli/local/system.ts';
import { standInTable } from '#test/support/stand-in-table.ts';

let dir: string;
let running: RunningSystem | undefined;

beforeEach(async () => {
  // A blank and an umlaut, as in many a home folder.
  dir = await mkdtemp(join(tmpdir(), 'countersign möwe '));
});

afterEach(async () => {
  await running?.stop();
  running = undefined;
  await rm(dir, { recursive: true, force: true });
});

async function start(options: Partial<SystemOptions> = {}): Promise<RunningSystem> {
  running = await startSystem({ dir, ports: 'any', table: standInTable(diary()), ...options });
  return running;
}

const diary = (): string => join(dir, 'diary');
const diaryLines = async (): Promise<string[]> =>
  (await readFile(diary(), 'utf8')).trim().split('\n');

/** Identities of everything in the run state. */
const recorded = (): readonly ProcessIdentity[] => readState(dir)?.processes ?? [];

async function gone(processes: readonly ProcessIdentity[]): Promise<boolean> {
  return (await Promise.all(processes.map(isAlive))).every((alive) => !alive);
}

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 600 && !(await condition()); attempt += 1) await sleep(50);
  expect(await condition()).toBe(true);
}

describe('a system under its supervisor', () => {
  test('is ready when started, says so in its status, and ends callers before callees', async () => {
    const system = await start();
    expect(Object.keys(system.pids()).toSorted()).toEqual(['callee', 'caller', 'nats', 'postgres']);

    const status = await statusOf(dir);
    const pids = system.pids();
    expect(status).toEqual({
      ingress: { url: system.urls.ingress },
      admin: { url: system.urls.admin },
      nats: { url: system.urls.nats },
      postgres: { url: system.urls.postgres },
      upstream: { url: system.urls.upstream },
      durability: 'power-cut',
      witnessing: {},
      services: expect.toSatisfy((services: { name: string; pid: number; ready: boolean }[]) =>
        services.every(({ name, pid, ready }) => ready && pids[name] === pid),
      ),
      demo: null,
    });

    const processes = recorded();
    await system.stop();
    expect(await gone(processes)).toBe(true);
    expect((await diaryLines()).slice(-2)).toEqual([
      'caller ended by SIGTERM',
      'callee ended by SIGTERM',
    ]);
    expect(await supervisorOf(dir)).toBeUndefined();
  });

  test('starts again what was killed, the broker and the database too', async () => {
    const system = await start();
    const before = system.pids();
    for (const name of ['caller', 'nats', 'postgres']) {
      await system.kill(name);
      await system.ready(name);
    }
    const after = system.pids();
    expect(after['callee']).toBe(before['callee']);
    for (const name of ['caller', 'nats', 'postgres']) expect(after[name]).not.toBe(before[name]);
    expect(readState(dir)?.processes.map(({ restarts }) => restarts)).toEqual([1, 1, 0, 1]);
  });

  test('leaves a halted process down until it is restarted', async () => {
    const system = await start();
    await system.halt('callee');
    await sleep(500);
    expect(system.pids()).not.toHaveProperty('callee');
    await system.restart('callee');
    expect(system.pids()).toHaveProperty('callee');
  });

  test('runs once per folder', async () => {
    await start();
    await expect(
      startSystem({ dir, ports: 'any', table: standInTable(diary()) }),
    ).rejects.toBeInstanceOf(AlreadyRunning);
  });

  test('keeps ports, secrets and data over a stop and a start', async () => {
    const first = await start();
    const before = { urls: first.urls, database: first.databaseAdminUrl };
    await first.stop();
    const second = await start();
    expect({ urls: second.urls, database: second.databaseAdminUrl }).toEqual(before);
  });

  test('keeps its secrets to itself', async () => {
    await start();
    const secrets = await readdir(join(dir, 'secrets'), { recursive: true, withFileTypes: true });
    for (const entry of secrets) {
      const { mode } = await stat(join(entry.parentPath, entry.name));
      expect([entry.name, mode & 0o077]).toEqual([entry.name, 0]);
    }
  });

  test('says why it could not start, and leaves nothing running', async () => {
    const env = (service: string): Record<string, string> =>
      service === 'caller' ? { STAND_IN_CRASH: 'at start' } : {};
    await expect(start({ env })).rejects.toThrow(
      /caller ended while starting \(exit code 1\):\nthe stand-in was told to crash/,
    );
    expect(await supervisorOf(dir)).toBeUndefined();
    const ports = JSON.parse(await readFile(join(dir, 'ports.json'), 'utf8')) as object;
    for (const [name, port] of Object.entries(ports)) {
      expect([name, await isFree(port as number)]).toEqual([name, true]);
    }
  });

  test('gives up a start on demand', async () => {
    const abort = new AbortController();
    const seed = async (): Promise<never> => {
      abort.abort(new Error('changed my mind'));
      return new Promise(() => {});
    };
    const never = Promise.race([start({ seed, signal: abort.signal }), sleep(15_000, 'hung')]);
    await expect(never).rejects.toThrow('changed my mind');
    expect(await supervisorOf(dir)).toBeUndefined();
  });
});

describe('a supervisor that was killed', () => {
  async function startElsewhere(): Promise<ProcessIdentity> {
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, '../../support/stand-in-system.ts'), dir, diary()],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('exit', () => reject(new Error('the supervisor ended')));
    });
    return (await identify(child.pid!))!;
  }

  // Where the kernel cannot tell the children (macOS), the next start ends them: see below.
  test.skipIf(!hasSetpriv())('takes its processes with it', async () => {
    const supervisor = await startElsewhere();
    const processes = recorded();
    expect(processes).toHaveLength(4);
    process.kill(supervisor.pid, 'SIGKILL');
    await eventually(() => gone(processes));
  });

  test('does not hinder the next start, nor a stale pid harm a stranger', async () => {
    const supervisor = await startElsewhere();
    process.kill(supervisor.pid, 'SIGKILL');
    await endLeftovers(dir);
    // A stranger who got the pid of a recorded process: same pid, another start.
    const stranger = spawn('sleep', ['60']);
    const state = readState(dir)!;
    const stale = state.processes.map((each) => ({ ...each, pid: stranger.pid! }));
    await writeFile(
      join(dir, 'run', 'system.json'),
      JSON.stringify({ ...state, processes: stale }),
    );
    await start();
    expect(stranger.exitCode).toBeNull();
    expect(stranger.signalCode).toBeNull();
    stranger.kill();
  });

  test('leaves what the next start ends, where the kernel does not tell the children', async () => {
    await chmod(dir, 0o755);
    const orphan = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    const identity = (await identify(orphan.pid!))!;
    await start();
    const state = readState(dir)!;
    await running?.stop();
    const left = { name: 'orphan', ...identity, restarts: 0, readyUrl: '' };
    await writeFile(
      join(dir, 'run', 'system.json'),
      JSON.stringify({ ...state, processes: [left] }),
    );
    await start();
    expect(await isAlive(identity)).toBe(false);
  });
});

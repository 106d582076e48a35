// The first minutes of a stranger: up, the commands that it prints, a second up, a killed supervisor, down.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { isAlive } from '#cli/local/process-identity.ts';
import type { ProcessIdentity } from '#cli/local/process-identity.ts';
import { readState, supervisorOf } from '#cli/local/run-state.ts';
import type { Hint } from '#cli/local/run-state.ts';
import type { Status } from '#cli/local/status.ts';

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let dir: string;
let first: Ran;

/** Runs a line as a person would paste it. */
async function paste(line: string): Promise<Ran> {
  const env = { ...process.env, COUNTERSIGN_DIR: dir, NO_COLOR: '1' };
  return new Promise((resolve) => {
    execFile('sh', ['-c', line], { env, cwd: CHECKOUT }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

const status = async (): Promise<Status> =>
  JSON.parse((await paste('./countersign status --json')).stdout) as Status;

async function allGone(processes: readonly ProcessIdentity[]): Promise<boolean> {
  return !(await Promise.all(processes.map(isAlive))).includes(true);
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'countersign-up-'));
  first = await paste('./countersign up --detach');
});

afterAll(async () => {
  await paste('./countersign down');
  await rm(dir, { recursive: true, force: true });
});

test('says that it is a demo on loopback, and where everything is', async () => {
  expect([first.code, first.stderr]).toEqual([0, expect.stringContaining('starting')]);
  expect(first.stdout).toMatch(/LOCAL DEMO, NOT FOR PRODUCTION/);
  const { ingress, admin, upstream } = await status();
  for (const { url } of [ingress, admin, upstream]) expect(first.stdout).toContain(url);
});

test('prints commands that do what it says they do', async () => {
  const hints = readState(dir)?.hints as readonly Hint[];
  expect(hints.map(({ title }) => title.split(':')[0])).toEqual(['Allowed', 'Blocked', 'Held']);
  for (const { command, expect: expected } of hints) {
    expect(first.stdout).toContain(command);
    const { stdout } = await paste(command);
    const [, verdict = '', reason = ''] = /^shows: (\w+), (.*)$/.exec(expected) ?? [];
    expect(stdout).toMatch(new RegExp(`^${verdict} `));
    expect(stdout).toContain(reason);
  }
});

test('describes itself to tools', async () => {
  const now = await status();
  const url = (scheme: string): unknown => ({
    url: expect.stringMatching(new RegExp(`^${scheme}://127\\.0\\.0\\.1:\\d+`)),
  });
  expect(now).toEqual({
    ingress: url('http'),
    admin: url('http'),
    nats: url('nats'),
    postgres: url('postgres'),
    upstream: url('http'),
    durability: 'power-cut',
    witnessing: {
      witnesses: [{ witness: 'local', size: expect.any(Number), fault: '' }],
      unwitnessed_seconds: expect.any(Number),
    },
    services: expect.any(Array),
    demo: {
      tenant: 'demo',
      agent: 'shop-agent',
      audience: 'countersign',
      identity_token_file: expect.any(String),
      capability_file: expect.any(String),
      operator_token_files: [expect.any(String), expect.any(String)],
    },
  });
  for (const service of now.services) {
    expect(service).toEqual({
      name: service.name,
      pid: expect.any(Number),
      ready: true,
      version: expect.stringMatching(/^\d+\.\d+/),
    });
  }
  const { identity_token_file, capability_file, operator_token_files } = now.demo!;
  for (const file of [identity_token_file, capability_file, ...operator_token_files]) {
    expect((await readFile(file, 'utf8')).trim()).not.toBe('');
  }
});

test('a second up says that it runs already and prints the same', async () => {
  const supervisor = await supervisorOf(dir);
  const second = await paste('./countersign up');
  expect(second).toEqual({
    code: 0,
    stdout: first.stdout,
    stderr: `it already runs (process ${supervisor?.pid})\n`,
  });
});

test('a killed supervisor is cleaned up after, and the system comes back with its data', async () => {
  const before = await status();
  process.kill((await supervisorOf(dir))!.pid, 'SIGKILL');
  const again = await paste('./countersign up --detach');
  expect([again.code, again.stdout]).toEqual([0, first.stdout]);
  const after = await status();
  expect({ ...after, services: [] }).toEqual({ ...before, services: [] });
});

test('down leaves nothing running', async () => {
  const { processes, supervisor } = readState(dir)!;
  expect(await paste('./countersign down')).toEqual({
    code: 0,
    stdout: `stopped; the data stays in ${dir}\n`,
    stderr: expect.stringContaining('stopping ingress'),
  });
  expect(await allGone([supervisor, ...processes])).toBe(true);
  expect((await paste('./countersign status')).code).toBe(3);
});

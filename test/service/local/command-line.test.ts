import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'countersign-cli-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Runs the command line on a folder where nothing runs. */
async function countersign(args: readonly string[], command?: string): Promise<Ran> {
  const env = { ...process.env, COUNTERSIGN_DIR: join(dir, 'none'), NO_COLOR: '1' };
  return new Promise((resolve) => {
    const file = command ?? join(CHECKOUT, 'countersign');
    execFile(file, [...args], { env, cwd: dir }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

describe('exit codes', () => {
  const cases: [name: string, args: string[], expected: Ran][] = [
    [
      'a verb that does not exist',
      ['nosuch'],
      {
        code: 2,
        stdout: '',
        stderr: "error: there is no verb 'nosuch'\n  next: ./countersign --help\n",
      },
    ],
    [
      'an option that does not exist',
      ['status', '--nosuch'],
      {
        code: 2,
        stdout: '',
        stderr: "error: unknown option '--nosuch'\n  next: ./countersign status --help\n",
      },
    ],
    [
      'a port that is none',
      ['up', '--ingress-port', '0'],
      {
        code: 2,
        stdout: '',
        stderr:
          "error: option '--ingress-port <port>' argument '0' is invalid. A port is a number from 1 to 65535.\n  next: ./countersign up --help\n",
      },
    ],
    [
      'nothing runs',
      ['status'],
      { code: 3, stdout: '', stderr: 'error: The system is not running.\n  next: npm run up\n' },
    ],
    [
      'nothing runs, told to a script',
      ['status', '--json'],
      {
        code: 3,
        stdout: '',
        stderr:
          '{"error":{"message":"The system is not running.","help":"npm run up","exit_code":3}}\n',
      },
    ],
    [
      'nothing to stop',
      ['down', '--json'],
      { code: 0, stdout: '{\n  "stopped": []\n}\n', stderr: '' },
    ],
  ];
  test.each(cases)('%s', async (_name, args, expected) => {
    expect(await countersign(args)).toEqual(expected);
  });
});

test('the launcher works through symlinks from any folder', async () => {
  await symlink(join(CHECKOUT, 'countersign'), join(dir, 'first'));
  await symlink('first', join(dir, 'second'));
  const { code, stdout } = await countersign(['--help'], join(dir, 'second'));
  expect([code, stdout.split('\n')[0]]).toEqual([0, 'Usage: countersign <verb> [options]']);
});

test('the doctor looks at everything and changes nothing', async () => {
  const { stdout } = await countersign(['doctor', '--json']);
  const { checks } = JSON.parse(stdout) as { checks: { name: string; state: string }[] };
  expect(checks.map(({ name }) => name)).toEqual([
    'node',
    'npm',
    'git',
    'packages',
    'go',
    'nats-server',
    'opa',
    'postgres',
    'disk',
    'ports',
    'secrets',
    'witness',
    'run',
  ]);
  expect(checks.find(({ name }) => name === 'secrets')?.state).toBe('note');
});

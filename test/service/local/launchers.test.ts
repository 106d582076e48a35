// What a newcomer starts with: `./countersign` and cli/start.mjs in a checkout where npm did less than the newest npm does.

import { execFile } from 'node:child_process';
import {
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';

const OWN_NODE = join('node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');

let dir: string;

beforeEach(async () => {
  // A blank and an umlaut, as in many a home folder.
  dir = await mkdtemp(join(tmpdir(), 'countersign möwe '));
  await mkdir(join(dir, 'cli'));
  await mkdir(join(dir, 'path'));
  await copyFile(join(CHECKOUT, 'countersign'), join(dir, 'countersign'));
  await copyFile(join(CHECKOUT, 'cli', 'start.mjs'), join(dir, 'cli', 'start.mjs'));
  await writeFile(join(dir, 'package.json'), '{"type":"module"}');
  await writeFile(join(dir, 'package-lock.json'), '{}');
  await writeFile(
    join(dir, 'cli', 'main.ts'),
    'const said: string[] = process.argv.slice(2);\nconsole.log(`main ${said.join(" ")}`);\n',
  );
  await program('node', 'echo v20.19.2');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** Puts a program before all others on the PATH. */
async function program(name: string, script: string): Promise<void> {
  await writeFile(join(dir, 'path', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

async function run(command: string, args: readonly string[] = []) {
  const env = { ...process.env, PATH: `${join(dir, 'path')}:${process.env['PATH']}` };
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(command, [...args], { env, cwd: dir }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** An npm that installs Node 24 alone, without any link to it, and writes down how it was called. */
async function oldNpm(): Promise<void> {
  await program(
    'npm',
    `[ "$1" = --version ] && echo 9.2.0 && exit
echo "$@" >> npm.calls
mkdir -p '${join(OWN_NODE, '..')}' node_modules/.bin node_modules/commander
ln -sf '${process.execPath}' '${OWN_NODE}'
echo '{}' > node_modules/.package-lock.json`,
  );
}

test('the command line needs no link to Node 24 of npm', async () => {
  await mkdir(join(dir, 'node_modules', 'commander'), { recursive: true });
  await mkdir(join(dir, OWN_NODE, '..'), { recursive: true });
  await symlink(process.execPath, join(dir, OWN_NODE));
  expect(await run(join(dir, 'countersign'), ['status'])).toEqual({
    code: 0,
    stdout: 'main status\n',
    stderr: '',
  });
});

test('without any Node that is new enough, the command line says which one is needed', async () => {
  await mkdir(join(dir, 'node_modules', 'commander'), { recursive: true });
  expect(await run(join(dir, 'countersign'), ['status'])).toEqual({
    code: 3,
    stdout: '',
    stderr: expect.stringContaining('Node 24.12 or later is needed') as string,
  });
});

test('the start takes what a machine leaves out by its settings, links Node 24, and installs once', async () => {
  await oldNpm();
  // The clock was an hour ahead when the checkout was made.
  const ahead = Date.now() / 1000 + 3_600.123_456;
  await utimes(join(dir, 'package-lock.json'), ahead, ahead);
  const start = () => run(process.execPath, [join(dir, 'cli', 'start.mjs'), 'up', '--detach']);
  expect(await start()).toMatchObject({ code: 0, stdout: 'main up --detach\n' });
  expect(await start()).toEqual({ code: 0, stdout: 'main up --detach\n', stderr: '' });
  expect(await readFile(join(dir, 'npm.calls'), 'utf8')).toBe(
    'ci --include=dev --include=optional --no-save --no-audit --no-fund --loglevel=error\n',
  );
  expect(await realpath(join(dir, 'node_modules', '.bin', 'node'))).toBe(process.execPath);
});

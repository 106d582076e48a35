// `npm run check`: format, lint, types and the unit tests, side by side. Shows the output of what fails.

import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

import { print } from '#cli/output.ts';

const FOLDERS = ['contracts', 'services', 'policies', 'cli', 'test', 'bench', 'sdk/typescript/src'];

const STEPS: readonly (readonly [command: string, ...args: string[]])[] = [
  ['vitest', 'run', '--project', 'unit'],
  ['oxlint', '--type-aware', ...FOLDERS],
  ['tsc', '--incremental', '--tsBuildInfoFile', 'node_modules/.cache/tsc.json'],
  ['oxfmt', '--check'],
];

const ENV = {
  ...process.env,
  /** The linter and the compiler are Go programs that live for seconds: their garbage may lie, up to a bound. */
  GOGC: 'off',
  GOMEMLIMIT: '2GiB',
  /** A tenth of the runs of properties (test/support/runs.ts). */
  COUNTERSIGN_TEST_RUNS: 'few',
  FORCE_COLOR: process.stdout.isTTY ? '1' : '0',
};

const results = await Promise.all(
  STEPS.map(async ([command, ...args]) => {
    const startedAt = performance.now();
    const child = spawn(command, args, { env: ENV, stdio: ['ignore', 'pipe', 'pipe'] });
    const exit = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', resolve);
    });
    const [code, out, err] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    print(`${code === 0 ? 'ok    ' : 'FAILED'} ${command} ${seconds} s`);
    return { code, said: out + err };
  }),
);

const failed = results.filter(({ code }) => code !== 0);
for (const { said } of failed) print(`\n${said.trim()}`);
process.exitCode = failed.length === 0 ? 0 : 1;

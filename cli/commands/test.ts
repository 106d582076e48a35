// `npm test`: prepares the native programs, runs vitest, and ends with one line that a machine can read.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Command } from 'commander';

import { CHECKOUT } from '#cli/local/places.ts';
import { runScript } from '#cli/local/run-script.ts';
import { print } from '#cli/output.ts';
import { addVerb } from '#cli/verb.ts';

/** The part of vitest's JSON report that we read. */
interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
}

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export function register(program: Command): void {
  addVerb(program, 'test [vitest-options...]', {
    short: 'Run the tests; options go to vitest.',
    summary: 'Run the tests of this checkout; options go to vitest.',
    examples: [
      ['npm test', 'everything'],
      ['npm test -- --project unit', 'only the tests without servers'],
    ],
  })
    .allowUnknownOption()
    .action(async (options: string[]) => {
      process.exitCode = await runTests(options);
    });
}

async function runTests(options: readonly string[]): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-test-'));
  const report = join(folder, 'report.json');
  const vitest = join(CHECKOUT, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const exitCode = await runScript(vitest, ['run', ...reporters, ...options]);
  const { passed, failed, skipped } = tally(await readReport(report), exitCode);
  await rm(folder, { recursive: true, force: true });
  print(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return exitCode;
}

/** Counts of a run. A run that failed without a failed test (a file that does not load) counts as one failure. */
export function tally(report: Report | undefined, exitCode: number): Tally {
  const failed = report?.numFailedTests ?? 0;
  return {
    passed: report?.numPassedTests ?? 0,
    failed: exitCode !== 0 && failed === 0 ? 1 : failed,
    skipped: (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0),
  };
}

async function readReport(file: string): Promise<Report | undefined> {
  return readFile(file, 'utf8').then(
    (text) => JSON.parse(text) as Report,
    () => undefined,
  );
}

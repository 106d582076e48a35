/** One run of the official suite against one address: its verdict on every check. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { CHECKOUT } from '#cli/local/places.ts';
import { CliError } from '#cli/output.ts';

export const ERAS = ['2025-11-25', '2026-07-28'] as const;
export type Era = (typeof ERAS)[number];

/** Checks of one run, as `scenario:check`; a check that is made several times holds when each of them does. */
export interface SuiteRun {
  readonly passed: number;
  readonly failed: number;
  readonly held: ReadonlySet<string>;
}

const SUITE = join(CHECKOUT, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');
const RUN_MS_MAX = 300_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** The suite names the folder of a scenario's results so. */
const RESULT = /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/;

/** Runs every scenario that a revision asks for. @throws CliError when the suite could not run */
export async function runSuite(url: string, era: Era, signal: AbortSignal): Promise<SuiteRun> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-conformance-'));
  try {
    const args = [SUITE, 'server', '--url', url, '--requirements', era, '--output-dir', folder];
    const options = { timeout: RUN_MS_MAX, maxBuffer: OUTPUT_BYTES_MAX, signal };
    // It exits with 1 when a check fails, which is a result like any other.
    await promisify(execFile)(process.execPath, args, options).catch(() => undefined);
    signal.throwIfAborted();
    const scenarios = await readdir(folder);
    if (scenarios.length === 0) throw new CliError(`The suite gave no results for ${era}.`);
    const checks = (
      await Promise.all(scenarios.map((name) => checksIn(join(folder, name), name)))
    ).flat();
    const failing = new Set(checks.filter(({ held }) => !held).map(({ name }) => name));
    return {
      passed: checks.filter(({ status }) => status === 'SUCCESS').length,
      failed: checks.filter(({ status }) => status === 'FAILURE').length,
      held: new Set(checks.flatMap(({ name }) => (failing.has(name) ? [] : [name]))),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Check {
  readonly name: string;
  readonly status: string;
  readonly held: boolean;
}

async function checksIn(folder: string, name: string): Promise<Check[]> {
  const scenario = RESULT.exec(name)?.[1] ?? name;
  // The suite's own format.
  const checks = JSON.parse(await readFile(join(folder, 'checks.json'), 'utf8')) as {
    readonly id: string;
    readonly status: string;
  }[];
  return checks.map(({ id, status }) => ({
    name: `${scenario}:${id}`,
    status,
    held: status === 'SUCCESS',
  }));
}

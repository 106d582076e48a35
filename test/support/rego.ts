/** The same Rego in two evaluators: OPA's own, and compiled in our host. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { expect } from 'vitest';

import { findBinary } from '#cli/local/binaries.ts';
import { anyFreePort } from '#cli/local/ports.ts';
import { buildBundle, type BuildResult } from '#policies/engine/build.ts';
import { redirect } from '#policies/engine/redirect.ts';
import { readTar } from '#policies/engine/tarball.ts';
import { startPolicyThread } from '#policies/engine/thread.ts';

const run = promisify(execFile);
const VECTORS = fileURLToPath(new URL('../vectors/rego/', import.meta.url));
const CAPABILITIES = fileURLToPath(new URL('../../policies/capabilities.json', import.meta.url));

export const opa = await findBinary('opa');
export const INPUT = readFileSync(join(VECTORS, 'input.json'), 'utf8');

/** Expressions of a text file of vectors. */
export const expressions = (file: string): string[] =>
  readFileSync(join(VECTORS, file), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));

export interface Differing {
  readonly expression: string;
  readonly interpreted: Outcome;
  readonly compiled: Outcome;
  readonly handling: 'left out' | 'refused' | 'warned' | 'known';
  readonly note: string;
}
export const differing = (): Differing[] =>
  JSON.parse(readFileSync(join(VECTORS, 'differ.json'), 'utf8')) as Differing[];

/** What became of one expression. */
export type Outcome =
  | { readonly value: unknown }
  | { readonly undefined: true }
  | { readonly fails: true }
  | { readonly hangs: true };

const outcomeOf = (value: unknown): Outcome =>
  value === undefined ? { undefined: true } : { value };

/** `expr` as rule number `at` of package parity. */
function ruleOf(expression: string, at: number): string {
  if (expression.startsWith('rule: ')) return expression.slice(6).replaceAll('NAME', `c${at}`);
  return `c${at} := x if { x := ${expression.replace(/^sorted: /, '')} }`;
}

/** What both evaluators make of each expression. `admitted`: only functions that a policy may use. */
export async function inBoth(
  list: readonly string[],
  { admitted }: { readonly admitted: boolean },
): Promise<{ readonly interpreted: Outcome[]; readonly compiled: Outcome[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-parity-'));
  try {
    const rules = list.map(ruleOf);
    await writeFile(join(folder, 'parity.rego'), `package parity\n\n${rules.join('\n')}\n`);
    await writeFile(join(folder, 'input.json'), INPUT);
    const limits = admitted ? ['--capabilities', CAPABILITIES] : [];
    return {
      interpreted: await interpret(folder, list, limits),
      compiled: await compileAndRun(folder, list, limits),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether OPA's own evaluator calls each expression an error when asked to be strict. */
export async function failsStrictly(list: readonly string[]): Promise<boolean[]> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-parity-'));
  await writeFile(
    join(folder, 'parity.rego'),
    `package parity\n\n${list.map(ruleOf).join('\n')}\n`,
  );
  const address = `127.0.0.1:${await anyFreePort()}`;
  const args = ['run', '--server', '--addr', address, '--log-level', 'error', 'parity.rego'];
  const server = execFile(opa, args, { cwd: folder });
  try {
    await expect.poll(() => fetch(`http://${address}/health`).then(({ ok }) => ok)).toBe(true);
    const body = `{"input":${INPUT}}`;
    const answers = list.map(async (_, at) => {
      const url = `http://${address}/v1/data/parity/c${at}?strict-builtin-errors=true`;
      const answer = await fetch(url, { method: 'POST', body });
      await answer.text();
      return answer.status === 500;
    });
    return await Promise.all(answers);
  } finally {
    server.kill();
    await rm(folder, { recursive: true, force: true });
  }
}

const options = (folder: string) => ({ cwd: folder, maxBuffer: 1 << 26 });

async function interpret(folder: string, list: readonly string[], limits: readonly string[]) {
  const files = ['--data', 'parity.rego', '--input', 'input.json'];
  const args = ['eval', ...files, ...limits, '--format', 'json', 'data.parity'];
  const { stdout } = await run(opa, args, options(folder));
  const values = JSON.parse(stdout).result[0].expressions[0].value as Record<string, unknown>;
  return list.map((_, at) => outcomeOf(values[`c${at}`]));
}

async function compileAndRun(folder: string, list: readonly string[], limits: readonly string[]) {
  const rules = list.map((_, at) => `parity/c${at}`);
  const wasm = await compile(folder, rules, limits);
  const thread = await startPolicyThread(
    { wasm, data: {}, entrypoint: rules[0] ?? '' },
    { evaluationMsMax: 2_000 },
  );
  const outcomes: Outcome[] = [];
  for (const rule of rules) {
    const answer = await thread.evaluateRule(rule, INPUT, 0);
    if (answer.ok) outcomes.push(outcomeOf(answer.value));
    else outcomes.push(answer.detail.startsWith('did not end') ? { hangs: true } : { fails: true });
  }
  await thread.close();
  return outcomes;
}

async function compile(folder: string, rules: readonly string[], limits: readonly string[]) {
  const target = ['--target', 'wasm', ...rules.flatMap((rule) => ['--entrypoint', rule])];
  const args = ['build', 'parity.rego', ...target, ...limits, '--output', 'out.tar.gz'];
  await run(opa, args, options(folder));
  const entries = await readTar(await readFile(join(folder, 'out.tar.gz')), 1 << 24);
  const wasm = entries.find(({ path }) => path === '/policy.wasm')?.bytes ?? Buffer.alloc(0);
  return redirect(wasm).toString('base64');
}

/** A module compiled as it stands, without any of the checks of a build. Its rules stand in package `parity`. */
export async function compiledAsIs(rules: string, entrypoints: readonly string[] = ['decision']) {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-parity-'));
  try {
    await writeFile(join(folder, 'parity.rego'), `package parity\n\n${rules}\n`);
    const names = entrypoints.map((name) => `parity/${name}`);
    return { wasm: await compile(folder, names, []), data: {}, entrypoint: names[0] ?? '' };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Builds a tenant's policy from one file, or from files by path. */
export const built = async (files: string | Record<string, string>, more: object = {}) =>
  await buildBundle({
    files: typeof files === 'string' ? { 'policy.rego': files } : files,
    role: 'tenant',
    opa,
    ...more,
  });

/** The bundle of a build that MUST have succeeded. */
export function bundleOf(result: BuildResult) {
  if (!result.ok) throw new Error(JSON.stringify(result.findings, null, 2));
  return result.bundle.bundle;
}

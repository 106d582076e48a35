/**
 * From sources to a bundle that may decide: checked against what we can run, tested, compiled, loaded and tried
 * out. Everything that is wrong is said with file and line. Nothing of a tenant's leaves the temporary folder.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import type { FactsDeclaration } from '#contracts/facts.ts';
import { type Json, NotCanonical } from '#contracts/json.ts';
import { POLICY_ENTRYPOINTS, policyInputJsonSchema, type PolicyRole } from '#contracts/policy.ts';

import { type Bundle, type NamedBundle, nameBundle, PolicyBundleError } from './bundle.ts';
import { compileSources } from './compile.ts';
import { asWarning, errorIn, type Finding, findingsOf } from './findings.ts';
import {
  opaVersion,
  runOpa,
  SCHEMA_ARGS,
  SCHEMA_FILE,
  SOURCES_ARGS,
  SOURCES_FOLDER,
  type Workplace,
} from './opa.ts';
import { missingDecision, readSources, type Sources } from './sources.ts';
import { NO_TESTS, runTests, type TestSummary } from './tests.ts';
import { tryOut } from './trial.ts';
import { loadPolicy } from './wasm.ts';

export interface BuildRequest {
  /** Path to text. */
  readonly files: Readonly<Record<string, string>>;
  /** Instead of, or equal to, the declaration among the files. */
  readonly facts?: FactsDeclaration;
  readonly role: PolicyRole;
  /** Path of the opa command. */
  readonly opa: string;
}

export type BuildResult = {
  readonly findings: readonly Finding[];
  readonly tests: TestSummary;
} & (
  | { readonly ok: true; readonly digest: string; readonly bundle: NamedBundle }
  | { readonly ok: false }
);

/** A bundle, or why there is none. Throws OpaUnavailable when opa itself is missing or does not end. */
export async function buildBundle(request: BuildRequest): Promise<BuildResult> {
  const { sources, findings } = readSources(request.files, request.facts as Json | undefined);
  if (hasError(findings)) return { ok: false, findings, tests: NO_TESTS };
  const folder = await mkdtemp(join(tmpdir(), 'countersign-policy-'));
  try {
    await layOut(folder, sources);
    return await build(
      request,
      sources,
      { opa: request.opa, folder, role: request.role },
      findings,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const hasError = (findings: readonly Finding[]) =>
  findings.some(({ severity }) => severity === 'error');

async function layOut(folder: string, { forOpa, facts }: Sources): Promise<void> {
  for (const [path, text] of Object.entries(forOpa)) {
    const file = join(folder, SOURCES_FOLDER, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text, { flag: 'wx' });
  }
  const schema = policyInputJsonSchema(factSchemas(facts));
  await writeFile(join(folder, SCHEMA_FILE), JSON.stringify(schema));
}

/** Schema of each declared fact; a fact without one may be anything. */
function factSchemas(facts: FactsDeclaration): Record<string, object> {
  return Object.fromEntries(
    Object.entries(facts).map(([alias, fact]) => [
      alias,
      typeof fact === 'string' ? {} : (fact.schema ?? {}),
    ]),
  );
}

async function build(
  request: BuildRequest,
  sources: Sources,
  place: Workplace,
  before: readonly Finding[],
): Promise<BuildResult> {
  const findings = [...before, ...(await check(place, request.files))];
  let tests = NO_TESTS;
  const refused = (): BuildResult => ({ ok: false, findings, tests });
  if (hasError(findings)) return refused();

  if (sources.hasTests) {
    const run = await runTests(place);
    findings.push(...run.findings);
    tests = run.summary;
    if (hasError(findings)) return refused();
  }

  const entrypoint = POLICY_ENTRYPOINTS[request.role];
  const compiled = await compileSources(place, [entrypoint], true);
  if (!('wasm' in compiled)) {
    findings.push(...compiled.findings);
    return refused();
  }
  const bundle: Bundle = {
    v: 1,
    role: request.role,
    files: { ...request.files },
    data: compiled.data,
    facts: sources.facts,
    opa: await opaVersion(place),
    entrypoint,
    wasm: compiled.wasm,
  };
  const named = await nameLoadable(bundle);
  findings.push(...('digest' in named ? await tryOut(bundle) : [named]));
  if (!('digest' in named) || hasError(findings)) return refused();
  return { ok: true, digest: named.digest, bundle: named, findings, tests };
}

/** Types, admitted functions and the rule that is asked; what only strictness or taste minds is a warning. */
async function check(
  place: Workplace,
  files: Readonly<Record<string, string>>,
): Promise<readonly Finding[]> {
  const args = [...SOURCES_ARGS, ...SCHEMA_ARGS, '--max-errors', '100', '--format', 'json'];
  const answer = await runOpa(place, ['check', ...args]);
  if (!answer.ok) return findingsOf(answer.stderr || answer.stdout);
  const missing = missingDecision(files, place.role);
  if (missing !== undefined) return [missing];
  // What only a strict reader minds (a variable that nobody uses) changes no decision.
  const strict = await runOpa(place, ['check', '--strict', ...args]);
  const minor = strict.ok ? [] : findingsOf(strict.stderr || strict.stdout).map(asWarning);
  const { stdout } = await runOpa(place, ['fmt', '--list', '.']);
  const unformatted = stdout
    .split('\n')
    .filter((line) => line.endsWith('.rego'))
    .map((line) => asWarning(errorIn(line, 'fmt', 'run "opa fmt --write" on this file')));
  return [...minor, ...unformatted];
}

/** The bundle with its digest once it has been seen to load; else the finding. */
async function nameLoadable(bundle: Bundle): Promise<NamedBundle | Finding> {
  try {
    await loadPolicy(bundle);
    return nameBundle(bundle);
  } catch (fault) {
    if (!(fault instanceof PolicyBundleError) && !(fault instanceof NotCanonical)) throw fault;
    return errorIn('', 'bundle.unusable', fault.message);
  }
}

/**
 * Runs the tests that stand beside a policy: by opa's own evaluator, with coverage, and then the same tests
 * compiled, by the evaluator that will decide. A test that passes in one of them only is an error.
 */
import { POLICY_ENTRYPOINTS } from '#contracts/policy.ts';

import { compileSources } from './compile.ts';
import { asWarning, errorIn, type Finding, findingsOf } from './findings.ts';
import { runOpa, SCHEMA_ARGS, SOURCES_ARGS, type Workplace } from './opa.ts';
import { isTest } from './sources.ts';
import { type PolicyThread, startPolicyThread } from './thread.ts';

export interface TestSummary {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Covered lines of the policy in percent, 0 without tests. */
  readonly coverage: number;
  readonly not_covered: readonly { readonly file: string; readonly lines: readonly number[] }[];
}

export const NO_TESTS: TestSummary = {
  passed: 0,
  failed: 0,
  skipped: 0,
  coverage: 0,
  not_covered: [],
};

export interface TestRun {
  readonly findings: readonly Finding[];
  readonly summary: TestSummary;
}

/** One row of `opa test --format json`. */
interface Row {
  readonly package: string;
  readonly name: string;
  readonly location: { readonly file: string; readonly row: number; readonly col: number };
  readonly fail?: boolean;
  readonly skip?: boolean;
  readonly error?: unknown;
}

/** A test runs 5 s at most; the compiled one takes a fraction of what the interpreted one does. */
const TEST_MS_MAX = 5_000;

/** What the tests of a bundle say. The first failing evaluator ends the run. */
export async function runTests(place: Workplace): Promise<TestRun> {
  const args = ['test', ...SOURCES_ARGS, ...SCHEMA_ARGS, '--timeout', `${TEST_MS_MAX}ms`];
  const answer = await runOpa(place, [...args, '--format', 'json']);
  const rows = parseRows(answer.stdout);
  if (rows === undefined) {
    return { findings: findingsOf(answer.stderr || answer.stdout), summary: NO_TESTS };
  }
  const failed = rows.filter(({ fail, error }) => fail === true || error !== undefined);
  const skipped = rows.filter(({ skip }) => skip === true);
  const counts = {
    failed: failed.length,
    skipped: skipped.length,
    passed: rows.length - failed.length - skipped.length,
  };
  if (failed.length > 0) {
    return { findings: failed.map(failure), summary: { ...NO_TESTS, ...counts } };
  }
  const coverage = await cover(place, args);
  const ran = rows.filter((row) => !skipped.includes(row));
  return { findings: await runCompiled(place, ran), summary: { ...coverage, ...counts } };
}

function parseRows(text: string): readonly Row[] | undefined {
  try {
    const rows: unknown = JSON.parse(text);
    return Array.isArray(rows) ? (rows as Row[]) : undefined;
  } catch {
    return undefined;
  }
}

const at = ({ location }: Row) => ({ line: location.row, column: location.col });

function failure(row: Row): Finding {
  const why = row.error === undefined ? 'fails' : `fails: ${JSON.stringify(row.error)}`;
  return errorIn(row.location.file, 'test.failed', `${row.name} ${why}`, at(row));
}

interface Coverage {
  readonly coverage?: number;
  readonly files?: Readonly<
    Record<string, { not_covered?: readonly { start: { row: number }; end: { row: number } }[] }>
  >;
}

async function cover(place: Workplace, args: readonly string[]): Promise<TestSummary> {
  const answer = await runOpa(place, [...args, '--coverage', '--format', 'json']);
  const report = JSON.parse(answer.stdout) as Coverage;
  const files = Object.entries(report.files ?? {}).filter(([file]) => !isTest(file));
  const notCovered = files.flatMap(([file, { not_covered: ranges = [] }]) => {
    const lines = ranges.flatMap(({ start, end }) =>
      Array.from({ length: end.row - start.row + 1 }, (_, n) => start.row + n),
    );
    return lines.length === 0 ? [] : [{ file: file, lines: [...new Set(lines)] }];
  });
  return { ...NO_TESTS, coverage: report.coverage ?? 0, not_covered: notCovered };
}

/** The tests again, compiled. What cannot be compiled is a warning: the policy itself still can. */
async function runCompiled(place: Workplace, rows: readonly Row[]): Promise<readonly Finding[]> {
  const rules = new Map(rows.map((row) => [ruleOf(row), row]));
  const compiled = await compileSources(place, [...rules.keys()]);
  if (!('wasm' in compiled)) return compiled.findings.map(asWarning);
  const entrypoint = POLICY_ENTRYPOINTS[place.role];
  const thread = await startPolicyThread(
    { ...compiled, entrypoint: [...rules.keys()][0] ?? entrypoint },
    { evaluationMsMax: TEST_MS_MAX },
  );
  try {
    return await differences(thread, rules);
  } finally {
    await thread.close();
  }
}

/** `data.shop.policy_test` and `test_x` as the path of an entrypoint. */
const ruleOf = (row: Row): string =>
  `${row.package.replace(/^data\./, '').replaceAll('.', '/')}/${row.name}`;

async function differences(
  thread: PolicyThread,
  rules: ReadonlyMap<string, Row>,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const [rule, row] of rules) {
    const outcome = await thread.evaluateRule(rule, '{}', 0);
    if (!outcome.ok || !holds(outcome.value)) {
      const why = outcome.ok ? '' : ` (${outcome.detail})`;
      const message = `${row.name} passes interpreted and fails compiled${why}: the compiled one decides`;
      findings.push(errorIn(row.location.file, 'test.differs', message, at(row)));
    }
  }
  return findings;
}

/** A test is true; one with named cases is an object of them. */
function holds(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value === true;
  const cases = Object.values(value);
  return cases.length > 0 && cases.every(holds);
}

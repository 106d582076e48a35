// What the build of a policy found, told with file and line, and what its tests said.

import type { PolicyFinding, PolicyTests } from '#contracts/admin-bodies.ts';

import { paint, print } from './output.ts';

export interface PolicyReport {
  readonly findings: readonly PolicyFinding[];
  readonly tests: Omit<PolicyTests, 'not_covered'> & {
    readonly not_covered: readonly { readonly file: string; readonly lines: readonly number[] }[];
  };
}

/** Prints findings as editors understand them, `file:line:column`, then one line about the tests. */
export function printReport({ findings, tests }: PolicyReport): void {
  for (const { severity, file, line, column, code, message } of findings) {
    const place = file === '' ? '' : `${file}:${line}:${column}: `;
    const word = paint(severity === 'error' ? 'red' : 'yellow', severity);
    print(`${place}${word}: ${message} (${code})`);
  }
  const { passed, failed, skipped, coverage } = tests;
  if (passed + failed + skipped === 0) {
    print('no tests: put them into *_test.rego beside the policy');
    return;
  }
  const count = [
    `${passed} passed`,
    `${failed} failed`,
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  print(`tests: ${count.join(', ')}; ${coverage} % of the lines covered`);
  for (const { file, lines } of tests.not_covered) {
    print(paint('dim', `  not covered  ${file}: ${lines.join(', ')}`));
  }
}

/** The report in an answer or a refusal of the admin API, undefined when it has none. */
export function reportIn(body: unknown): PolicyReport | undefined {
  const { findings, tests } = (body ?? {}) as Partial<PolicyReport>;
  return findings === undefined || tests === undefined ? undefined : { findings, tests };
}

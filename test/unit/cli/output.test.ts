import { describe, expect, test } from 'vitest';

import { tally } from '#cli/commands/test.ts';
import { alignColumns } from '#cli/output.ts';

test('columns start where the widest cell lets them', () => {
  expect(
    alignColumns([
      ['nats', '4222', 'ready'],
      ['decision-worker', '1', ''],
    ]),
  ).toEqual(['nats             4222  ready', 'decision-worker  1']);
});

describe('the last line of npm test', () => {
  const report = { numPassedTests: 5, numFailedTests: 0, numPendingTests: 2, numTodoTests: 1 };
  const cases: [string, Parameters<typeof tally>, ReturnType<typeof tally>][] = [
    ['all well', [report, 0], { passed: 5, failed: 0, skipped: 3 }],
    ['a failed test', [{ ...report, numFailedTests: 2 }, 1], { passed: 5, failed: 2, skipped: 3 }],
    ['a file that does not load', [report, 1], { passed: 5, failed: 1, skipped: 3 }],
    ['a run that wrote no report', [undefined, 1], { passed: 0, failed: 1, skipped: 0 }],
  ];
  test.each(cases)('%s', (_name, given, expected) => {
    expect(tally(...given)).toEqual(expected);
  });
});

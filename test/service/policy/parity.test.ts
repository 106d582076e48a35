import { describe, expect, test } from 'vitest';

import { HOST_BUILTINS } from '#policies/engine/builtins.ts';
import { ADMITTED_BUILTINS, NATIVE_BUILTINS, whyLeftOut } from '#policies/engine/capabilities.ts';
import { differing, expressions, failsStrictly, inBoth, type Outcome } from '#test/support/rego.ts';

/** Sets are printed as lists in no certain order. */
function sorted(outcome: Outcome): Outcome {
  if (!('value' in outcome) || !Array.isArray(outcome.value)) return outcome;
  return { value: outcome.value.map((one) => JSON.stringify(one)).sort() };
}

describe('a compiled policy answers as the Go evaluator does', () => {
  test.each(['native.txt', 'host.txt'])('on every expression of %s', async (file) => {
    const list = expressions(file);
    const { interpreted, compiled } = await inBoth(list, { admitted: true });
    // What the Go evaluator calls an error ends the evaluation where this host answers: the next test.
    const strictly = await failsStrictly(list);
    const rows = (outcomes: readonly Outcome[]) =>
      list.flatMap((expression, at) => {
        if (strictly[at] === true && 'fails' in (compiled[at] ?? {})) return [];
        const outcome = outcomes[at] ?? { undefined: true };
        return [[expression, expression.startsWith('sorted: ') ? sorted(outcome) : outcome]];
      });
    expect(rows(compiled)).toEqual(rows(interpreted));
  });

  test('and fails where Go has an error, instead of leaving a rule undefined', async () => {
    // The one whose error means no more than that its text is no time.
    const list = expressions('host.txt').filter(
      (expression) => !expression.startsWith('time.parse_rfc3339_ns("'),
    );
    const { compiled } = await inBoth(list, { admitted: true });
    const strictly = await failsStrictly(list);
    const failing = list.filter((_, at) => 'fails' in (compiled[at] ?? {}));
    expect(failing).toEqual(list.filter((_, at) => strictly[at] === true));
  });

  test('in every time zone and season', async () => {
    const zones = ['Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe'];
    const moments = Array.from({ length: 40 }, (_, at) => 946_684_800_000 + at * 29_999_990_000);
    const list = zones.flatMap((zone) =>
      moments.map(
        (ms) => `[time.date([${ms}000000, "${zone}"]), time.clock([${ms}000000, "${zone}"])]`,
      ),
    );
    const { interpreted, compiled } = await inBoth(list, { admitted: true });
    expect(compiled).toEqual(interpreted);
  });
});

/** How a function looks in an expression when it is not called by its name. */
const SYMBOLS: Readonly<Record<string, string>> = {
  and: ' & ',
  div: ' / ',
  equal: ' == ',
  gt: ' > ',
  gte: ' >= ',
  'internal.member_2': ' in ',
  'internal.member_3': ', "b" in ',
  'internal.template_string': '$"',
  lt: ' < ',
  lte: ' <= ',
  minus: ' - ',
  mul: ' * ',
  neq: ' != ',
  or: ' | ',
  plus: ' + ',
  rem: ' % ',
};

test('every admitted function stands in an expression', () => {
  const cases = [...expressions('native.txt'), ...expressions('host.txt')];
  const shown = (name: string) =>
    cases.some((expression) => expression.includes(SYMBOLS[name] ?? `${name}(`));
  const admitted = [...NATIVE_BUILTINS, ...HOST_BUILTINS].filter(
    (name) => whyLeftOut(name) === undefined,
  );
  const missing = new Set(admitted.filter((name) => !shown(name)));
  // The clock of the Go evaluator cannot be set (traps.test.ts), and tokens are made for a test (tokens.test.ts).
  expect([...missing].filter((name) => !name.startsWith('io.jwt.verify_'))).toEqual([
    'time.now_ns',
  ]);
});

describe('where the two differ', () => {
  test('they still differ as written down', async () => {
    const list = differing();
    const { interpreted, compiled } = await inBoth(
      list.map(({ expression }) => expression),
      { admitted: false },
    );
    expect(list.map((row, at) => [row.expression, interpreted[at], compiled[at]])).toEqual(
      list.map((row) => [row.expression, row.interpreted, row.compiled]),
    );
  });

  test('a function that differs is left out, with a reason', () => {
    for (const { note } of differing().filter(({ handling }) => handling === 'left out')) {
      expect([note, ADMITTED_BUILTINS.includes(note), typeof whyLeftOut(note)]).toEqual([
        note,
        false,
        'string',
      ]);
    }
  });
});

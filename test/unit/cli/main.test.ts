// What a person gets to see who knows no verb, or mistypes one.

import { describe, expect, it } from 'vitest';

import { runVerb } from '#test/support/run-verb.ts';

describe('--help', () => {
  it('has each verb once, under its purpose, in a line that fits a terminal', async () => {
    const { code, out } = await runVerb('--help');
    expect(code).toBe(0);
    const verbs = out.slice(out.indexOf('Run it here:'), out.indexOf('Examples:'));
    const lines = verbs.split('\n').filter((line) => line.startsWith('  '));
    const names = lines.map((line) => /^ {2}([a-z]+) +[A-Z].+\.$/.exec(line)?.[1] ?? line);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain('revocations');
    expect(names.filter((name) => name.includes(' '))).toEqual([]);
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    expect(out).not.toContain('Commands:'); // none without a purpose
  });

  it('says what each exit code means', async () => {
    const { out } = await runVerb('--help');
    expect([...out.matchAll(/^ {2}(\d) {2}/gm)].map(([, code]) => code)).toEqual([
      '0',
      '1',
      '2',
      '3',
      '4',
    ]);
  });
});

describe('what is wrong is told with the help that mends it', () => {
  const cases: readonly (readonly [string, readonly string[], string, string])[] = [
    [
      'a mistyped verb',
      ['polcy'],
      "there is no verb 'polcy' (Did you mean policy?)",
      'policy --help',
    ],
    [
      'a mistyped verb of a group',
      ['approvals', 'lst'],
      "there is no verb 'lst' (Did you mean list?)",
      'approvals list --help',
    ],
    ['a verb like no other', ['xyzzy'], "there is no verb 'xyzzy'", '--help'],
    [
      'a missing argument',
      ['policy', 'put'],
      "missing required argument 'place'",
      'policy put --help',
    ],
    [
      'a mistyped option',
      ['audit', 'list', '--jsn'],
      "unknown option '--jsn' (Did you mean --json?)",
      'audit list --help',
    ],
  ];
  it.each(cases)('%s', async (_name, args, message, help) => {
    expect(await runVerb(...args)).toEqual({
      code: 2,
      out: '',
      err: `error: ${message}\n  next: ./countersign ${help}\n`,
    });
  });
});

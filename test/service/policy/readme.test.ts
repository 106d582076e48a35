/** What policies/README.md shows is true. */
import { readdirSync, readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { compileFactKeys } from '#contracts/facts.ts';
import { parsePolicyOutput, policyInputFault } from '#contracts/policy.ts';
import { HOST_BUILTINS } from '#policies/engine/builtins.ts';
import { ADMITTED_BUILTINS, NATIVE_BUILTINS, whyLeftOut } from '#policies/engine/capabilities.ts';
import { built } from '#test/support/rego.ts';

const folder = new URL('../../../policies/', import.meta.url);
const readme = readFileSync(new URL('README.md', folder), 'utf8');

/** Blocks of code by the comment above them, or by their language. */
const blocks = (kind: string): string[] =>
  [...readme.matchAll(/(?:<!-- (\w+) -->\n)?```(\w+)\n([\s\S]*?)```/g)]
    .filter(([, comment, language]) => (comment ?? language) === kind)
    .map(([, , , code]) => code ?? '');
const json = (kind: string): unknown => JSON.parse(blocks(kind)[0] ?? '');

test('its input is one', () => {
  expect(policyInputFault(json('input'))).toBeUndefined();
});

test('its output counts', () => {
  expect(parsePolicyOutput(json('output'))).toEqual({ ok: true, output: json('output') });
});

test('its facts can be declared', () => {
  expect(compileFactKeys(json('facts')).map(({ alias, required }) => [alias, required])).toEqual([
    ['order', false],
    ['person', true],
  ]);
});

test('its policies build without a finding, with its test beside them', async () => {
  const rego = blocks('rego');
  const tests = rego.filter((code) => code.startsWith('package countersign.policy_test'));
  const policies = rego.filter((code) => !tests.includes(code));
  expect([policies.length, tests.length]).toEqual([2, 1]);
  for (const policy of policies) {
    const files = { 'policy.rego': policy, 'policy_test.rego': tests[0] ?? '' };
    const { ok, findings, tests: summary } = await built(files);
    expect([ok, findings, summary.passed]).toEqual([true, [], 1]);
  }
});

test('it names every function that we add or leave out', () => {
  const known = NATIVE_BUILTINS.filter((name) => whyLeftOut(name) !== undefined);
  // Rego v1 itself refuses these.
  const deprecated = ['all', 'any', 're_match', 'set_diff', 'net.cidr_overlap'];
  const missing = [...HOST_BUILTINS, ...known].filter(
    (name) => !deprecated.includes(name) && !readme.includes(`\`${name}\``),
  );
  expect(missing).toEqual([]);
});

test('what it says instead of a function is there', () => {
  for (const name of ['strings.replace_n', 'contains', 'split', 'object.union']) {
    expect(ADMITTED_BUILTINS).toContain(name);
  }
});

test('the folders that it names are there', () => {
  expect(readdirSync(folder)).toEqual(
    expect.arrayContaining(['starter', 'floor', 'capabilities.json']),
  );
});

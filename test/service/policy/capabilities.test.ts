import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import {
  ADMITTED_BUILTINS,
  capabilitiesFrom,
  NATIVE_BUILTINS,
  type OpaCapabilities,
} from '#policies/engine/capabilities.ts';
import { built, opa } from '#test/support/rego.ts';

const file = JSON.parse(
  readFileSync(new URL('../../../policies/capabilities.json', import.meta.url), 'utf8'),
) as OpaCapabilities & { allow_net: string[]; features: string[] };

test('the committed file is what the pinned opa and our lists give', () => {
  const current = JSON.parse(
    execFileSync(opa, ['capabilities', '--current'], { encoding: 'utf8', maxBuffer: 1 << 24 }),
  ) as OpaCapabilities;
  expect(file).toEqual(JSON.parse(JSON.stringify(capabilitiesFrom(current))));
});

test('it names what we admit, no more', () => {
  expect(file.builtins.map(({ name }) => name)).toEqual([...ADMITTED_BUILTINS]);
  expect(file.allow_net).toEqual([]);
  expect(NATIVE_BUILTINS.length).toBe(96);
});

const policy = (expression: string) =>
  `package countersign.policy\n\ndefault decision := {"verdict": "block"}\n\ndecision := {"verdict": "allow"} if ${expression}\n`;

describe('a build refuses', () => {
  test.each([
    ['http.send({"method": "get", "url": "http://127.0.0.1"})', 'http.send'],
    ['opa.runtime().env.PATH', 'opa.runtime'],
    ['net.lookup_ip_addr("localhost")', 'net.lookup_ip_addr'],
    ['rand.intn("x", 2) == 1', 'rand.intn'],
    ['uuid.rfc4122("x") == ""', 'uuid.rfc4122'],
    ['io.jwt.encode_sign({}, {}, {}) == ""', 'io.jwt.encode_sign'],
    ['json.match_schema({}, {})[0]', 'json.match_schema'],
    ['yaml.unmarshal(input.call.tool).x', 'yaml.unmarshal'],
    ['rego.parse_module("a", "package a")', 'rego.parse_module'],
  ])('%s', async (expression, name) => {
    const { ok, findings } = await built(policy(expression));
    expect([ok, findings.map(({ file, line, code }) => ({ file, line, code }))]).toEqual([
      false,
      [{ file: 'policy.rego', line: 5, code: 'rego_type_error' }],
    ]);
    expect(findings[0]?.message).toMatch(new RegExp(`^undefined function ${name}: .{10}`));
  });

  test('and a test that wants the network, before it runs', async () => {
    const { ok, findings } = await built({
      'policy.rego': policy('input.call.tool == "x"'),
      'policy_test.rego':
        'package countersign.policy_test\n\ntest_x if http.send({"method": "get", "url": "http://127.0.0.1:1"})\n',
    });
    expect([ok, findings.map(({ file, code }) => [file, code])]).toEqual([
      false,
      [['policy_test.rego', 'rego_type_error']],
    ]);
  });
});

test('printing is for tests: what decides does not print', async () => {
  const { ok, findings } = await built(
    policy('{ print("x", input.call.tool); input.call.tool == "x" }'),
  );
  expect([ok, findings.filter(({ severity }) => severity === 'error')]).toEqual([true, []]);
});

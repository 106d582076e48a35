import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { beforeAll, describe, expect, test } from 'vitest';

import { compileFactKeys, factKeys } from '#contracts/facts.ts';
import type { JsonObject } from '#contracts/json.ts';
import { type PolicyInput, policyInputFault, type PolicyRole } from '#contracts/policy.ts';
import { buildBundle, type BuildResult } from '#policies/engine/build.ts';
import { emptyInput } from '#policies/engine/trial.ts';
import { type LoadedPolicy, loadPolicy } from '#policies/engine/wasm.ts';
import { bundleOf, opa } from '#test/support/rego.ts';

const folderOf = (name: string) =>
  fileURLToPath(new URL(`../../../policies/${name}`, import.meta.url));
const filesOf = (folder: string) =>
  Object.fromEntries(
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
  );

const SHIPPED: [name: string, role: PolicyRole][] = [
  ['starter', 'tenant'],
  ['floor', 'floor'],
];

describe.each(SHIPPED)('policies/%s', (name, role) => {
  let result: BuildResult;
  let policy: LoadedPolicy;
  beforeAll(async () => {
    result = await buildBundle({ files: filesOf(folderOf(name)), role, opa });
    policy = await loadPolicy(bundleOf(result));
  });

  test('has no findings, and tests that reach every line in both evaluators', () => {
    const { findings, tests } = result;
    expect({ findings, tests: { ...tests, passed: tests.passed > 10 } }).toEqual({
      findings: [],
      tests: { passed: true, failed: 0, skipped: 0, coverage: 100, not_covered: [] },
    });
  });

  test('decides every call as the Go evaluator does', () => {
    const inputs = [...variations()];
    const compiled = inputs.map((input) => {
      const evaluation = policy.evaluate(JSON.stringify(input), 0);
      return evaluation.ok ? evaluation.output : evaluation.detail;
    });
    expect(compiled).toEqual(interpret(name, role, inputs));
    expect(new Set(compiled.map((output) => JSON.stringify(output))).size).toBeGreaterThan(3);
  });
});

/** Calls that mix what agents send with what they should not: every argument with every value. */
function* variations(): Generator<PolicyInput> {
  const values = [null, false, true, 0, -1, 1e-7, 20, 100, 100.01, 5_000, 1e300, '', '20', [], {}];
  const texts = [
    'bob@shop.example',
    'eve@evil.example',
    'a@b@shop.example',
    'SELECT 1',
    'select * into x from y',
    'DROP TABLE orders',
    'staging',
    'production',
  ];
  const facts: JsonObject = {
    order: { id: 'A-1001', customer: 'ann@customer.example', total: 5_000 },
    recipient: { customer: false },
  };
  const principals = [
    { tenant: 'demo', agent: 'bot', on_behalf_of: 'alice', actors: ['bot'] },
    { tenant: 'demo', agent: 'bot', on_behalf_of: 'bot', actors: ['bot', 'bot'] },
  ];
  for (const tool of ['lookup_order', 'refund_order', 'send_email', 'run_sql', 'countersign', '']) {
    for (const [at, value] of [...values, ...texts].entries()) {
      const principal = { ...emptyInput().principal, ...principals[at % 2] };
      const args = {
        amount: value,
        to: value,
        query: value,
        database: texts[at % texts.length] ?? '',
      };
      const call = { tool, arguments: args, upstream: 'shop', schema: 'none' as const };
      yield { ...emptyInput(facts), call, principal };
    }
  }
}

/** The decision of `opa eval` for each input. */
function interpret(name: string, role: PolicyRole, inputs: readonly PolicyInput[]): unknown {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-starter-'));
  try {
    writeFileSync(join(folder, 'cases.json'), JSON.stringify({ cases: inputs }));
    const rule = role === 'floor' ? 'countersign.floor' : 'countersign.policy';
    const query = `[d | some one in input.cases; d := data.${rule}.decision with input as one]`;
    const data = ['--bundle', folderOf(name), '--input', join(folder, 'cases.json')];
    const answer = execFileSync(opa, ['eval', ...data, '--format', 'json', query], {
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    return JSON.parse(answer).result[0].expressions[0].value;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the starter asks for the facts of the call at hand', () => {
  const declared: unknown = JSON.parse(filesOf(folderOf('starter'))['facts.json'] ?? '');
  const input = emptyInput();
  const call = { ...input.call, arguments: { order_id: 'A-1001', to: 'ann@customer.example' } };
  const keys = factKeys(compileFactKeys(declared), { ...input, call });
  expect(keys.map(({ alias, key, required }) => [alias, key, required])).toEqual([
    ['order', 'orders/A-1001', false],
    ['recipient', 'customers/ann=40customer=2Eexample', false],
  ]);
});

test('the calls above are inputs as a worker makes them', () => {
  expect([...variations()].map(policyInputFault).filter((fault) => fault !== undefined)).toEqual(
    [],
  );
});

/** Ways in which a policy can be wrong without its author noticing. None of them may end in an allow. */
import { beforeAll, describe, expect, test } from 'vitest';

import type { PolicyInput } from '#contracts/policy.ts';
import { PolicyBundleError } from '#policies/engine/bundle.ts';
import { startPolicyThread } from '#policies/engine/thread.ts';
import { emptyInput } from '#policies/engine/trial.ts';
import { type Evaluation, type LoadedPolicy, loadPolicy } from '#policies/engine/wasm.ts';
import { built, bundleOf, compiledAsIs } from '#test/support/rego.ts';

const NOW_MS = 1_763_689_000_123;

const call = (tool: string, args: PolicyInput['call']['arguments'] = {}) =>
  JSON.stringify({
    ...emptyInput(),
    call: { tool, arguments: args, upstream: '', schema: 'none' },
  });

const load = async (rules: string): Promise<LoadedPolicy> =>
  await loadPolicy(await compiledAsIs(rules));

/** Verdict or code of one evaluation. */
const outcome = (evaluation: Evaluation) =>
  evaluation.ok ? evaluation.output.verdict : evaluation.code;

describe('values that Rego ranks below every number', () => {
  const amounts = [null, false, true, '20', '5 000', [], {}, -1, 101];
  const evaluated = async (condition: string) => {
    const policy = await load(
      `default decision := {"verdict": "block"}\n\ndecision := {"verdict": "allow"} if {\n${condition}\n}`,
    );
    return amounts.filter(
      (amount) => outcome(policy.evaluate(call('refund', { amount }), NOW_MS)) === 'allow',
    );
  };

  test('a bare comparison lets null, false and true pass', async () => {
    expect(await evaluated('input.call.arguments.amount <= 100')).toEqual([null, false, true, -1]);
  });

  test('the idiom of our starter lets none pass', async () => {
    expect(
      await evaluated(
        'is_number(input.call.arguments.amount)\ninput.call.arguments.amount > 0\ninput.call.arguments.amount <= 100',
      ),
    ).toEqual([]);
  });
});

describe('a rule that cannot be evaluated', () => {
  test('does not refuse: a policy that lists what is forbidden allows what it cannot read', async () => {
    const policy = await load(
      'deny contains "urgent" if contains(input.call.arguments.note, "urgent")\n\ndecision := {"verdict": "allow"} if count(deny) == 0',
    );
    expect(
      ['urgent!', 'later', 5].map((note) =>
        outcome(policy.evaluate(call('refund', { note }), NOW_MS)),
      ),
    ).toEqual(['policy.undefined', 'allow', 'allow']);
  });

  test.each([
    ['to_number(input.call.arguments.x) > 100', '5000', '50', '5 000'],
    ['input.call.arguments.x * 1.5 > 100', 5000, 50, '50'],
    ['semver.compare(input.call.arguments.x, "2.0.0") > 0', '3.0.0', '1.0.0', 'latest'],
    ['net.cidr_contains("10.0.0.0/8", input.call.arguments.x)', '10.1.1.1', '8.8.8.8', 'a.example'],
    ['regex.match(`^rm `, input.call.arguments.x)', 'rm -rf', 'ls', 5],
  ])('refuses where %s cannot be answered', async (condition, forbidden, allowed, unread) => {
    const policy = await load(
      `deny contains "no" if ${condition}\n\ndecision := {"verdict": "allow"} if count(deny) == 0`,
    );
    expect(
      [forbidden, allowed, unread].map((x) =>
        outcome(policy.evaluate(call('refund', { x }), NOW_MS)),
      ),
    ).toEqual(['policy.undefined', 'allow', 'policy.builtin']);
  });

  test('is true under "not": an absent argument is not the same as false', async () => {
    const policy = await load(
      'default decision := {"verdict": "block"}\n\ndecision := {"verdict": "allow"} if not input.call.arguments.destroy',
    );
    expect(
      [{}, { destroy: false }, { destroy: null }, { destroy: true }].map((args) =>
        outcome(policy.evaluate(call('x', args), NOW_MS)),
      ),
    ).toEqual(['allow', 'allow', 'block', 'block']);
  });

  test('so the build warns of to_number and semver.compare', async () => {
    const { findings } = await built(
      'package countersign.policy\n\ndefault decision := {"verdict": "block"}\n\ndecision := {"verdict": "allow"} if to_number(input.call.tool) < 5\n\ndecision := {"verdict": "allow"} if semver.compare(input.call.tool, "1.0.0") > 0\n',
    );
    expect(findings.map(({ severity, code, line }) => [severity, code, line])).toEqual([
      ['warning', 'rego.to_number', 5],
      ['warning', 'rego.semver_compare', 7],
      // The call of the build's own trial has no such tool.
      ['warning', 'trial.builtin', 0],
    ]);
  });

  test('does not let a call pass when one of our functions cannot go on', async () => {
    const policy = await load(
      'default decision := {"verdict": "allow"}\n\ndecision := {"verdict": "block"} if count(numbers.range_step(0, input.call.arguments.n, 1)) > 10',
    );
    expect([
      outcome(policy.evaluate(call('x', { n: 20 }), NOW_MS)),
      outcome(policy.evaluate(call('x', { n: 2 }), NOW_MS)),
      policy.evaluate(call('x', { n: 2_000_000 }), NOW_MS),
    ]).toEqual([
      'block',
      'allow',
      {
        ok: false,
        code: 'policy.builtin',
        detail: 'BuiltinFailure: numbers.range_step: more than 1000000 numbers',
      },
    ]);
  });
});

describe('an answer of the wrong shape', () => {
  const OUTPUTS: [string, string, string][] = [
    ['true', 'true', '/: must be object'],
    ['a string', '"allow"', '/: must be object'],
    ['a list', '[{"verdict": "allow"}]', '/: must be object'],
    ['a set', '{"allow"}', '/: must be object'],
    ['null', 'null', '/: must be object'],
    ['nothing', '{}', '/: must have required properties verdict'],
    ['another verdict', '{"verdict": "ALLOW"}', '/verdict: must be'],
    ['a verdict that is true', '{"verdict": true}', '/verdict: must be'],
    ['a verdict in a list', '{"verdict": ["allow"]}', '/verdict: must be'],
    ['an unknown member', '{"verdict": "allow", "allow": true}', '/allow: unknown member'],
    [
      'a member that JavaScript knows',
      '{"verdict": "allow", "__proto__": {}}',
      '/__proto__: unknown member',
    ],
    ['a message that is null', '{"verdict": "allow", "message": null}', '/message: must be string'],
    [
      'a reason in words',
      '{"verdict": "block", "reason": "Too large!"}',
      '/reason: must match pattern',
    ],
    [
      'an unknown obligation',
      '{"verdict": "allow", "obligations": [{"type": "log"}]}',
      '/obligations/0',
    ],
    [
      'an obligation with more',
      '{"verdict": "allow", "obligations": [{"type": "tag", "name": "a", "value": "b", "if": true}]}',
      '/obligations/0',
    ],
    ['a broken cost', '{"verdict": "allow", "cost": 0.5}', '/cost: must be integer'],
    ['a negative cost', '{"verdict": "allow", "cost": -1}', '/cost: must be >= 0'],
    ['a cost beyond counting', '{"verdict": "allow", "cost": 1e400}', '/cost: must be'],
    [
      'a cost that loses digits',
      '{"verdict": "allow", "cost": 9007199254740993}',
      '/cost: must be',
    ],
    ['approval beside allow', '{"verdict": "allow", "approval": {}}', '/approval: only "escalate"'],
    [
      'approval by nobody',
      '{"verdict": "escalate", "approval": {"quorum": 0}}',
      '/approval/quorum: must be >= 1',
    ],
    [
      'a message that is too long',
      '{"verdict": "allow", "message": concat("", [x | some i in numbers.range(1, 1001); x := "a"])}',
      '/message: must not have more than 1000',
    ],
  ];
  let module: Awaited<ReturnType<typeof compiledAsIs>>;
  beforeAll(async () => {
    const names = OUTPUTS.map((_, at) => `shape_${at}`);
    const rules = OUTPUTS.map(([, output], at) => `shape_${at} := ${output}`);
    module = await compiledAsIs(rules.join('\n\n'), names);
  });

  test.each(OUTPUTS.map((row, at) => [...row, at] as const))('%s', async (_, __, detail, at) => {
    const policy = await loadPolicy({ ...module, entrypoint: `parity/shape_${at}` });
    expect(policy.evaluate(call('x'), NOW_MS)).toEqual({
      ok: false,
      code: 'policy.wrong_shape',
      detail: expect.stringContaining(detail),
    });
  });
});

describe('an evaluation that does not end well', () => {
  test('no value', async () => {
    const policy = await load('decision := {"verdict": "allow"} if input.call.tool == "read"');
    expect([
      outcome(policy.evaluate(call('read'), NOW_MS)),
      policy.evaluate(call('write'), NOW_MS),
    ]).toEqual(['allow', { ok: false, code: 'policy.undefined', detail: 'the rule has no value' }]);
  });

  test('two values that contradict each other', async () => {
    const policy = await load(
      'decision := {"verdict": "allow"} if input.call.tool != "x"\n\ndecision := {"verdict": "block"} if input.call.tool != "y"',
    );
    expect([
      outcome(policy.evaluate(call('x'), NOW_MS)),
      outcome(policy.evaluate(call('y'), NOW_MS)),
      policy.evaluate(call('z'), NOW_MS),
    ]).toEqual([
      'block',
      'allow',
      { ok: false, code: 'policy.error', detail: expect.stringContaining('parity.rego:5') },
    ]);
  });

  test('input that is not JSON', async () => {
    const policy = await load('default decision := {"verdict": "allow"}');
    const detail = 'Error: the input is not JSON';
    expect([
      outcome(policy.evaluate(call('x'), NOW_MS)),
      policy.evaluate('', NOW_MS),
      policy.evaluate('{"call":', NOW_MS),
    ]).toEqual([
      'allow',
      { ok: false, code: 'policy.error', detail },
      { ok: false, code: 'policy.error', detail },
    ]);
  });

  describe('without end', () => {
    const ALLOCATES =
      'default decision := {"verdict": "block"}\n\ndecision := {"verdict": "allow"} if {\n\tinput.call.tool == "run"\n\tcount([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a != b]) > 0\n}';
    const COMPUTES =
      'default decision := {"verdict": "block"}\n\ndecision := {"verdict": "allow"} if {\n\tl := input.call.arguments.l\n\tsome a in l\n\tsome b in l\n\tsome c in l\n\tc == "x"\n}';

    const numbers = (length: number) => Array.from({ length }, (_, at) => at);

    test('a rule that allocates runs out of memory, and the next call is judged as ever', async () => {
      const policy = await load(ALLOCATES.replaceAll('3000', 'input.call.arguments.n'));
      expect([
        outcome(policy.evaluate(call('run', { n: 30 }), NOW_MS)),
        policy.evaluate(call('run', { n: 3_000 }), NOW_MS),
        outcome(policy.evaluate(call('run', { n: 30 }), NOW_MS)),
        outcome(policy.evaluate(call('other'), NOW_MS)),
      ]).toEqual([
        'allow',
        { ok: false, code: 'policy.memory', detail: 'opa_malloc: failed' },
        'allow',
        'block',
      ]);
    });

    test('a build finds one that its own sources reach', async () => {
      const rules = ALLOCATES.replaceAll('3000', 'input.call.arguments.n');
      const { ok, findings } = await built(`package countersign.policy\n\n${rules}\n`);
      expect([ok, findings.map(({ code }) => code).filter((code) => code !== 'fmt')]).toEqual([
        false,
        ['trial.memory'],
      ]);
    });

    test('a rule that only computes is stopped from outside, and another thread takes over', async () => {
      const module = await compiledAsIs(COMPUTES);
      const thread = await startPolicyThread(module, { evaluationMsMax: 300 });
      const stopped = await thread.evaluate(call('run', { l: numbers(3_000) }), NOW_MS);
      const next = await thread.evaluate(call('run', { l: numbers(3) }), NOW_MS);
      await thread.close();
      expect([stopped, next]).toEqual([
        { ok: false, code: 'policy.runaway', detail: 'did not end within 300 ms' },
        { ok: true, output: { verdict: 'block' } },
      ]);
    });
  });
});

describe('a module that is not what it should be', () => {
  type Module = Awaited<ReturnType<typeof compiledAsIs>>;
  let module: Module;
  beforeAll(async () => {
    module = await compiledAsIs('decision := {"verdict": "allow"}');
  });

  test.each([
    ['no WASM', (): Partial<Module> => ({ wasm: 'aGVsbG8=' })],
    ['cut short', (): Partial<Module> => ({ wasm: module.wasm.slice(0, 4_000) })],
    ['without the rule', (): Partial<Module> => ({ entrypoint: 'countersign/floor/decision' })],
  ])('%s', async (_, change) => {
    const attempt = loadPolicy({ ...module, ...change() });
    await expect(attempt).rejects.toBeInstanceOf(PolicyBundleError);
  });

  test('needs a function that is not there: refused when loaded, not when reached', async () => {
    // The name of the function stands in the module as text of the same length.
    const uses = await compiledAsIs(
      'decision := {"verdict": "allow"} if semver.is_valid(input.call.tool)',
    );
    const bytes = Buffer.from(uses.wasm, 'base64');
    const at = bytes.indexOf('semver.is_valid');
    expect(at).toBeGreaterThan(0);
    bytes.write('semver.is_vali_', at);
    await expect(loadPolicy({ ...uses, wasm: bytes.toString('base64') })).rejects.toThrow(
      'needs unknown builtins: semver.is_vali_',
    );
  });
});

describe('time and memory between evaluations', () => {
  test('now is the recorded time of the decision, the same throughout it', async () => {
    const policy = await load(
      'decision := {"verdict": "allow", "message": $"{time.now_ns()} {time.now_ns() - time.now_ns()}", "cost": 1}',
    );
    const messages = [NOW_MS, 0, NOW_MS + 1].map((timeMs) => {
      const evaluation = policy.evaluate(call('x'), timeMs);
      return evaluation.ok ? evaluation.output.message : evaluation.code;
    });
    expect(messages).toEqual([`${NOW_MS}000000 0`, '0 0', `${NOW_MS + 1}000000 0`]);
  });

  test('one input leaves nothing behind for the next', async () => {
    const policy = await load(
      'decision := {"verdict": "allow", "message": concat(",", sort([k | some k, _ in input.call.arguments]))}',
    );
    const large = Object.fromEntries(
      Array.from({ length: 100 }, (_, at) => [`k${at}`, 'x'.repeat(2_000)]),
    );
    const first = policy.evaluate(call('x', { a: 1 }), 0);
    policy.evaluate(call('x', large), 0);
    expect(policy.evaluate(call('x', { a: 1 }), 0)).toEqual(first);
    expect(first).toEqual({ ok: true, output: { verdict: 'allow', message: 'a' } });
  });

  test('data of the bundle is there, and cannot be seen as input', async () => {
    const bundle = bundleOf(
      await built({
        'policy.rego':
          'package countersign.policy\n\ndecision := {"verdict": "allow", "cost": data.limits.cost}\n',
        'data.json': '{ "limits": { "cost": 7 } }',
      }),
    );
    const policy = await loadPolicy(bundle);
    expect(policy.evaluate(call('x', { limits: { cost: 9 } }), 0)).toEqual({
      ok: true,
      output: { verdict: 'allow', cost: 7 },
    });
  });
});

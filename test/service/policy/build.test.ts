import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { create, Header } from 'tar';
import { describe, expect, test } from 'vitest';

import { nameBundle, openBundle, PolicyBundleError } from '#policies/engine/bundle.ts';
import type { Finding } from '#policies/engine/findings.ts';
import { OpaUnavailable } from '#policies/engine/opa.ts';
import { unpackTarball } from '#policies/engine/tarball.ts';
import { built, bundleOf } from '#test/support/rego.ts';

const POLICY = `package countersign.policy

default decision := {"verdict": "block"}

decision := {"verdict": "allow"} if input.call.tool == "read"
`;
const places = (
  findings: readonly { file: string; line: number; column: number; code: string }[],
) => findings.map(({ file, line, column, code }) => [file, line, column, code]);

describe('a good policy', () => {
  test('becomes a bundle that says everything about itself', async () => {
    const result = await built({
      'policy.rego': POLICY,
      'limits/data.json': '{ "refund": 100 }',
      'facts.json': '{ "order": "orders/{call.arguments.order_id}" }',
      'README.md': '# Mine',
    });
    const { wasm, files, ...bundle } = bundleOf(result);
    expect(bundle).toEqual({
      v: 1,
      role: 'tenant',
      data: { limits: { refund: 100 } },
      facts: { order: 'orders/{call.arguments.order_id}' },
      opa: '1.22.0',
      entrypoint: 'countersign/policy/decision',
    });
    expect(Object.keys(files)).toEqual([
      'policy.rego',
      'limits/data.json',
      'facts.json',
      'README.md',
    ]);
    expect(wasm.startsWith('AGFzbQ')).toBe(true);
    expect(result.findings).toEqual([]);
  });

  test('has the same digest whenever it is built, and another after any change', async () => {
    const [one, two, other] = await Promise.all([
      built({ 'policy.rego': POLICY, 'a.md': 'x' }),
      built({ 'a.md': 'x', 'policy.rego': POLICY }),
      built({ 'policy.rego': POLICY, 'a.md': 'y' }),
    ]);
    const digest = nameBundle(bundleOf(one)).digest;
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(nameBundle(bundleOf(two)).digest).toBe(digest);
    expect(nameBundle(bundleOf(other)).digest).not.toBe(digest);
  });

  test('is opened only by its own digest and in its own role', async () => {
    const { bytes, digest } = nameBundle(bundleOf(await built(POLICY)));
    const attempt = (given: Uint8Array, name: string, role: 'tenant' | 'floor') => {
      try {
        return openBundle(given, name, role).digest;
      } catch (fault) {
        return fault instanceof PolicyBundleError ? fault.code : fault;
      }
    };
    const flipped = Uint8Array.from(bytes);
    flipped[40] = (flipped[40] ?? 0) ^ 1;
    expect([
      attempt(bytes, digest, 'tenant'),
      attempt(bytes, digest, 'floor'),
      attempt(flipped, digest, 'tenant'),
      attempt(bytes, digest.replace(/.$/, 'x'), 'tenant'),
    ]).toEqual([digest, 'wrong_role', 'wrong_digest', 'wrong_digest']);
  });
});

describe('findings have a place and a code', () => {
  const rows: [string, string | Record<string, string>, (string | number)[][]][] = [
    ['syntax', `${POLICY}decision if\n`, [['policy.rego', 7, 0, 'rego_parse_error']]],
    [
      'a misspelt field of the input',
      POLICY.replace('input.call.tool', 'input.call.tol'),
      [['policy.rego', 5, 37, 'rego_type_error']],
    ],
    [
      'a misspelt fact',
      {
        'policy.rego': POLICY.replace('input.call.tool', 'input.facts.ordr'),
        'facts.json': '{ "order": "orders/{call.arguments.order_id}" }',
      },
      [['policy.rego', 5, 37, 'rego_type_error']],
    ],
    [
      'a misspelt member of a fact with a schema',
      {
        'policy.rego': POLICY.replace('input.call.tool', 'input.facts.order.totl'),
        'facts.json':
          '{ "order": { "key": "orders/{call.tool}", "schema": { "type": "object", "properties": { "total": { "type": "number" } } } } }',
      },
      [['policy.rego', 5, 37, 'rego_type_error']],
    ],
    [
      'another package',
      POLICY.replace('countersign.policy', 'my.policy'),
      [['policy.rego', 1, 0, 'bundle.no_decision']],
    ],
    [
      'another rule',
      POLICY.replaceAll('decision', 'allow'),
      [['policy.rego', 1, 0, 'bundle.no_decision']],
    ],
    ['nothing but tests', { 'a_test.rego': 'package a_test\n' }, [['', 0, 0, 'bundle.empty']]],
    [
      'a glob with parentheses',
      POLICY.replace('input.call.tool == "read"', 'glob.match("(a|b)", [], input.call.tool)'),
      [['policy.rego', 5, 37, 'rego.glob_pattern']],
    ],
    [
      'a failing test',
      {
        'policy.rego': POLICY,
        'policy_test.rego': 'package countersign.policy_test\n\ntest_it if 1 == 2\n',
      },
      [['policy_test.rego', 3, 1, 'test.failed']],
    ],
    [
      'a test that only the interpreter passes',
      {
        'policy.rego': POLICY,
        'policy_test.rego':
          'package countersign.policy_test\n\ntest_it if to_number("1_000") == 1000\n',
      },
      [['policy_test.rego', 3, 1, 'test.differs']],
    ],
    [
      'a broken data file',
      { 'policy.rego': POLICY, 'data.json': '{\n "a": 1,\n "a": 2 }' },
      [['data.json', 3, 2, 'bundle.json']],
    ],
    [
      'data in the way of the rule',
      {
        'policy.rego': POLICY,
        'countersign/policy/data.json': '{ "decision": { "verdict": "allow" } }',
      },
      [['policy.rego', 3, 1, 'rego_compile_error']],
    ],
    ['broken YAML', { 'policy.rego': POLICY, 'data.yaml': 'a: [1' }, [['', 0, 0, 'opa']]],
    [
      'YAML that is no JSON once it is read',
      { 'policy.rego': POLICY, 'data.yaml': 'a: 12345678901234567890' },
      [['', 0, 0, 'bundle.json']],
    ],
    [
      'facts that cannot be',
      { 'policy.rego': POLICY, 'facts.json': '{ "order": "orders/x{y}" }' },
      [['facts.json', 0, 0, 'facts.malformed']],
    ],
    [
      'two declarations of facts',
      {
        'policy.rego': POLICY,
        'facts.json': '{ "order": "orders/{call.tool}" }',
        '.manifest':
          '{ "metadata": { "countersign": { "facts": { "order": "orders/{call.upstream}" } } } }',
      },
      [['.manifest', 0, 0, 'facts.conflict']],
    ],
  ];

  test.each(rows)('%s', async (_, files, expected) => {
    const { ok, findings } = await built(files);
    expect([ok, places(findings)]).toEqual([false, expected]);
  });

  test('a policy that decides nothing for an empty call is warned about, and so is its layout', async () => {
    const { ok, findings } = await built(
      'package countersign.policy\ndecision := {"verdict": "allow"} if input.call.tool == "read"\n',
    );
    expect([ok, findings.map(({ severity, code }) => [severity, code])]).toEqual([
      true,
      [
        ['warning', 'fmt'],
        ['warning', 'trial.undefined'],
      ],
    ]);
  });

  test('facts may be declared in the manifest or with the request', async () => {
    const facts = { order: 'orders/{call.arguments.order_id}' };
    const manifest = JSON.stringify({ metadata: { countersign: { facts } } });
    const [inManifest, asked] = await Promise.all([
      built({ 'policy.rego': POLICY, '.manifest': manifest }),
      built({ 'policy.rego': POLICY, '.manifest': manifest }, { facts }),
    ]);
    expect([bundleOf(inManifest).facts, bundleOf(asked).facts]).toEqual([facts, facts]);
  });
});

describe('what others write is built', () => {
  const places = (findings: readonly Finding[]) =>
    findings.map(({ severity, file, line, code }) => [severity, file, line, code]);

  test('with what only a strict reader minds, as a warning', async () => {
    const { ok, findings } = await built(`${POLICY}\nx if {\n\ty := 1\n}\n`);
    expect([ok, places(findings)]).toEqual([
      true,
      [['warning', 'policy.rego', 8, 'rego_compile_error']],
    ]);
  });

  test('with data in YAML, in folders, and files that are no part of it', async () => {
    const result = await built({
      'policy.rego': POLICY,
      'data.yaml': 'limits:\n  refund: 100 # EUR\n',
      'team/data.json': '{ "names": ["ann"] }',
      'limits.json': '{ "refund": 5 }',
      Makefile: 'test:\n',
    });
    expect([bundleOf(result).data, places(result.findings)]).toEqual([
      { limits: { refund: 100 }, team: { names: ['ann'] } },
      [
        ['warning', 'limits.json', 0, 'bundle.file_type'],
        ['warning', 'Makefile', 0, 'bundle.file_type'],
      ],
    ]);
  });
});

describe('what is sent cannot reach beyond the bundle', () => {
  test.each([
    '../policy.rego',
    '/etc/policy.rego',
    'a/../../b.rego',
    'a//b.rego',
    './b.rego',
    '.git/b.rego',
    'a\\b.rego',
    'a b.rego',
    'a\0.rego',
    'ü.rego',
    `${'a/'.repeat(8)}b.rego`,
    `${'a'.repeat(125)}.rego`,
    '__proto__.rego/..',
  ])('path %j', async (path) => {
    const { ok, findings } = await built({ 'policy.rego': POLICY, [path]: POLICY });
    expect([ok, findings.map(({ code }) => code)]).toEqual([
      false,
      expect.arrayContaining(['bundle.path']),
    ]);
  });

  test('two paths that are one file elsewhere', async () => {
    const { findings } = await built({ 'policy.rego': POLICY, 'Policy.rego': POLICY });
    expect(findings.map(({ code }) => code)).toEqual(['bundle.path']);
  });

  test('too many files, too much text, too much data', async () => {
    const many = Object.fromEntries(Array.from({ length: 64 }, (_, at) => [`a${at}.md`, '']));
    const results = await Promise.all([
      built({ 'policy.rego': POLICY, ...many }),
      built({ 'policy.rego': POLICY, 'a.md': 'x'.repeat(512 * 1024) }),
      built({ 'policy.rego': POLICY, 'data.json': `{"a":"${'x'.repeat(256 * 1024)}"}` }),
    ]);
    expect(results.map(({ findings }) => findings.map(({ code }) => code))).toEqual([
      ['bundle.limit'],
      ['bundle.limit'],
      ['bundle.limit'],
    ]);
  });

  test('annotations do not make opa read files of this machine', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-secret-'));
    const secret = join(folder, 'schema.json');
    await writeFile(
      secret,
      '{"type":"object","properties":{"secret":{"type":"string"}},"additionalProperties":false}',
    );
    const annotated = POLICY.replace(
      'decision := {"verdict": "allow"}',
      `# METADATA\n# schemas:\n#   - input: {"$ref": "file://${secret}"}\ndecision := {"verdict": "allow"}`,
    );
    // Had it been read, input.call would be unknown to that schema.
    expect((await built(annotated)).findings).toEqual([]);
    await rm(folder, { recursive: true });
  });

  test('schemas of facts do not either', async () => {
    const schema = { $ref: 'file:///etc/hostname' };
    const { findings } = await built({
      'policy.rego': POLICY,
      'facts.json': JSON.stringify({ order: { key: 'orders/{call.tool}', schema } }),
    });
    expect(findings.map(({ code, message }) => [code, message])).toEqual([
      ['facts.malformed', 'order: a schema of a fact has no references and no patterns'],
    ]);
  });

  test('a missing opa is no finding of the policy', async () => {
    await expect(built(POLICY, { opa: '/nowhere/opa' })).rejects.toBeInstanceOf(OpaUnavailable);
  });
});

describe('a tarball', () => {
  const packed = async (fill: (folder: string) => Promise<string[]>, gzip: boolean) => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-tar-'));
    const paths = await fill(folder);
    const chunks: Buffer[] = [];
    for await (const chunk of create({ cwd: folder, gzip, preservePaths: true }, paths)) {
      chunks.push(Buffer.from(chunk));
    }
    await rm(folder, { recursive: true });
    return Buffer.concat(chunks);
  };
  const policyIn = async (folder: string) => {
    await writeFile(join(folder, 'policy.rego'), POLICY);
    return ['./policy.rego'];
  };

  test.each([true, false])('of plain files is unpacked (gzip %s)', async (gzip) => {
    expect(await unpackTarball(await packed(policyIn, gzip))).toEqual({
      ok: true,
      files: { 'policy.rego': POLICY },
    });
  });

  const codes = async (bytes: Uint8Array) => {
    const unpacked = await unpackTarball(bytes);
    return unpacked.ok ? [] : unpacked.findings.map(({ file, message }) => [file, message]);
  };

  test.each(['SymbolicLink', 'Link', 'CharacterDevice', 'BlockDevice', 'FIFO'] as const)(
    'with a %s is refused',
    async (type) => {
      const header = new Header({
        path: 'a.rego',
        size: 0,
        type,
        ...(type.endsWith('Link') ? { linkpath: '/etc/passwd' } : {}),
      });
      header.encode();
      const bytes = Buffer.concat([header.block ?? Buffer.alloc(0), Buffer.alloc(1_024)]);
      expect(await codes(bytes)).toEqual([['a.rego', `${type} is not a plain file`]]);
    },
  );

  test('with a file that is no text is refused', async () => {
    const bytes = await packed(async (folder) => {
      await writeFile(join(folder, 'a.rego'), Buffer.from([0xff, 0xfe]));
      return ['a.rego'];
    }, true);
    expect(await codes(bytes)).toEqual([['a.rego', 'not UTF-8 text']]);
  });

  test('of one folder, and what opa build adds, is as if packed within', async () => {
    const unpacked = async (files: Record<string, string>) => {
      const answer = await unpackTarball(
        await packed(async (folder) => {
          for (const [path, text] of Object.entries(files)) {
            await mkdir(dirname(join(folder, path)), { recursive: true });
            await writeFile(join(folder, path), text);
          }
          return Object.keys(files);
        }, true),
      );
      return answer.ok ? Object.keys(answer.files) : answer.findings;
    };
    expect([
      await unpacked({ 'mine/policy.rego': POLICY, 'mine/a/data.json': '{}', 'mine/.git/x': '' }),
      await unpacked({ 'countersign/policy/policy.rego': POLICY }),
      await unpacked({ 'mine/policy.rego': `${POLICY}x := data.mine.y`, 'mine/data.json': '{}' }),
      await unpacked({ 'policy.rego': POLICY, 'plan.json': '', '.manifest': '{}' }),
      await unpacked({ 'policy.rego': POLICY, 'policy.wasm': '' }),
    ]).toEqual([
      ['policy.rego', 'a/data.json'],
      ['countersign/policy/policy.rego'],
      ['mine/policy.rego', 'mine/data.json'],
      ['policy.rego', '.manifest'],
      [expect.objectContaining({ file: 'policy.wasm', code: 'bundle.tarball' })],
    ]);
  });

  test('keeps the paths it states, for the path rule to refuse', async () => {
    const bytes = await packed(async (folder) => {
      await mkdir(join(folder, 'in'));
      await writeFile(join(folder, 'a.rego'), POLICY);
      return ['in/../a.rego'];
    }, true);
    const unpacked = await unpackTarball(bytes);
    const files = unpacked.ok ? unpacked.files : {};
    expect((await built(files)).findings.map(({ code }) => code)).toContain('bundle.path');
  });

  test('that unpacks to more than a policy may be is refused early', async () => {
    const bytes = await packed(async (folder) => {
      await writeFile(join(folder, 'a.rego'), Buffer.alloc(50 << 20));
      return ['a.rego'];
    }, true);
    expect(bytes.length).toBeLessThan(100_000);
    expect(await codes(bytes)).toEqual([['', expect.stringContaining('not a tarball')]]);
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('hello')],
    ['half a gzip', Buffer.from([0x1f, 0x8b, 8, 0])],
    ['a tar cut short', undefined],
  ])('that is %s is refused', async (_, given) => {
    const bytes = given ?? (await packed(policyIn, false)).subarray(0, 700);
    expect(await codes(bytes)).toEqual([['', expect.stringContaining('not a tarball')]]);
  });
});

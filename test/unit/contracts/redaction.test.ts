// What of a payload is shown: masked by default, by rule else, and never a secret; and what a masked payload still proves.

import { randomBytes } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { callHash } from '#contracts/call-hash.ts';
import { canonical, type Json } from '#contracts/json.ts';
import { sealPayload, sha256 } from '#contracts/record.ts';
import { maskedFault, parseMasked, type RedactionRule, redactor } from '#contracts/redaction.ts';

const keyed = (text: string) => `k${text.length}`;
const call = { tenant: 'acme', tool: 'refund_order', upstream: 'shop' };

function decision(args: Json, evidence: Readonly<Record<string, Json>> = {}) {
  const definitionHash = `sha256:${'0'.repeat(64)}`;
  const text = canonical(args);
  const { payload, commitments } = sealPayload(
    {
      evidence: canonical({ definition_hash: definitionHash, ...evidence }),
      input: canonical({ call: { arguments: args, tool: call.tool } }),
    },
    { arguments: text, call: callHash({ ...call, definitionHash, argsHash: sha256(text) }) },
    () => randomBytes(16).toString('hex'),
  );
  return { leaf: { kind: 'decision', ...call, commitments }, payload };
}

/** Arguments as they are shown. */
function shown(args: Json, rules: readonly RedactionRule[]): unknown {
  const { leaf, payload } = decision(args);
  const masked = redactor({ rules: [...rules] }, keyed).mask(leaf, payload);
  expect(maskedFault(leaf, masked)).toBe('');
  const { input } = parseMasked(masked)!.sections as { input: { call: { arguments: unknown } } };
  return input.call.arguments;
}

const ARGS = 'input.call.arguments';

describe('arguments', () => {
  test.each<[string, Json, RedactionRule[], unknown]>([
    [
      'masked by default, shape kept',
      { order: 'A-1', sum: 120, ok: true, none: null, list: ['a', { b: 'c' }], nothing: {} },
      [],
      {
        order: '[string]',
        sum: '[number]',
        ok: '[boolean]',
        none: null,
        list: ['[string]', { b: '[string]' }],
        nothing: {},
      },
    ],
    [
      'shown by path',
      { a: 'x', b: 'y' },
      [{ do: 'show', path: `$.${ARGS}.a` }],
      { a: 'x', b: '[string]' },
    ],
    [
      'shown by path with any name, and below it',
      { a: { id: 1, in: { x: 2 } }, b: { id: 3 } },
      [{ do: 'show', path: `${ARGS}.*.in` }],
      { a: { id: '[number]', in: { x: 2 } }, b: { id: '[number]' } },
    ],
    [
      'in an array',
      { lines: [{ sku: 's1', to: 'dave' }] },
      [{ do: 'show', path: `${ARGS}.lines.*.sku` }],
      { lines: [{ sku: 's1', to: '[string]' }] },
    ],
    [
      'by name at any depth, in any case',
      { a: { Order_ID: 'A-1' } },
      [{ do: 'show', key: 'order*' }],
      { a: { Order_ID: 'A-1' } },
    ],
    ['of this tool', { a: 'x' }, [{ do: 'show', tool: 'refund_*', path: ARGS }], { a: 'x' }],
    [
      'not of another',
      { a: 'x' },
      [{ do: 'show', tool: 'lookup_*', path: ARGS }],
      { a: '[string]' },
    ],
    [
      'by the first rule that fits',
      { a: 'x', b: 'y' },
      [
        { do: 'mask', key: 'a' },
        { do: 'show', path: ARGS },
      ],
      { a: '[string]', b: 'y' },
    ],
    ['as a hash', { a: 'x' }, [{ do: 'hash', path: ARGS }], { a: '[hash:k3]' }],
    [
      'by their last characters, where that is less than half',
      { iban: 'DE0212345678', short: '1234' },
      [{ do: 'last', n: 4, path: ARGS }],
      { iban: '[...5678]', short: '[string]' },
    ],
    [
      'secrets never',
      {
        apiKey: 'k',
        user_password: 'p',
        auth: { token: { value: 'x' } },
        note: 'Bearer abcdefghijk',
        jwt: 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.sig',
        tokenizer: 'shown',
      },
      [{ do: 'show', path: ARGS }],
      {
        apiKey: '[string]',
        user_password: '[string]',
        auth: { token: { value: '[string]' } },
        note: '[string]',
        jwt: '[string]',
        tokenizer: 'shown',
      },
    ],
  ])('are %s', (_, args, rules, expected) => {
    expect(shown(args, rules)).toEqual(expected);
  });
});

test('what is masked has no salt, what is not is proved', () => {
  const { leaf, payload } = decision({ a: 'x' });
  const masked = parseMasked(redactor({ rules: [] }, keyed).mask(leaf, payload))!;
  expect([masked.masked, Object.keys(masked.salts)]).toEqual([['input'], ['evidence']]);
  const all = parseMasked(
    redactor({ rules: [{ do: 'show', path: 'input' }] }, keyed).mask(leaf, payload),
  )!;
  expect([all.masked, Object.keys(all.salts).sort()]).toEqual([
    [],
    ['arguments', 'call', 'evidence', 'input'],
  ]);
});

test("the policy's words and the person are masked, the checks are not", () => {
  const checks = [{ check: 'policy', micros: 1, ok: true, reason: '' }];
  const { leaf, payload } = decision({}, { checks, message: 'for dave', person: 'dave' });
  const { sections } = parseMasked(redactor({ rules: [] }, keyed).mask(leaf, payload))!;
  expect(sections['evidence']).toMatchObject({ checks, message: '[string]', person: '[string]' });
});

test('nothing of any value is shown without a rule', () => {
  const marker = 'MARKER-7f3a';
  const value = fc.letrec<{ json: Json }>((tie) => ({
    json: fc.oneof(
      { depthSize: 'small' },
      fc.constant(marker),
      fc.integer(),
      fc.array(tie('json'), { maxLength: 3 }),
      fc.dictionary(fc.stringMatching(/^[a-z]{1,6}$/), tie('json'), {
        maxKeys: 3,
        noNullPrototype: true,
      }),
    ),
  })).json;
  fc.assert(
    fc.property(value, (args) => {
      const { leaf, payload } = decision(args);
      const text = redactor({ rules: [] }, keyed).mask(leaf, payload);
      expect(text).not.toContain(marker);
      expect(maskedFault(leaf, text)).toBe('');
    }),
  );
});

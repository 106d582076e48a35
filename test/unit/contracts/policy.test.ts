import { describe, expect, test } from 'vitest';

import {
  parsePolicyOutput,
  policyInputFault,
  policyInputJsonSchema,
  type PolicyOutput,
} from '#contracts/policy.ts';
import { emptyInput } from '#policies/engine/trial.ts';

describe('a policy answer', () => {
  const good: [string, PolicyOutput][] = [
    ['the shortest', { verdict: 'allow' }],
    [
      'everything',
      {
        verdict: 'escalate',
        reason: 'refund_over_limit',
        message: 'Refunds up to 100 run at once.',
        obligations: [
          { type: 'redact', paths: ['/customer/card', '/a~1b/0'] },
          { type: 'tag', name: 'money', value: 'out' },
        ],
        labels: ['money-out', 'class:pay'],
        cost: 19_990_000,
        approval: { risk: 'high', route: 'refunds', quorum: 2, ttl: 3_600, effect: 'Pay 500 EUR.' },
      },
    ],
    ['escalate and no more', { verdict: 'escalate' }],
    ['block with a reason', { verdict: 'block', reason: 'order_unknown' }],
  ];
  test.each(good)('counts: %s', (_, output) => {
    expect(parsePolicyOutput(output)).toEqual({ ok: true, output });
  });

  const bad: [string, unknown, string][] = [
    ['undefined', undefined, '/: must be object'],
    ['NaN cost', { verdict: 'allow', cost: Number.NaN }, '/cost: must be'],
    ['endless cost', { verdict: 'allow', cost: Number.POSITIVE_INFINITY }, '/cost: must be'],
    [
      'a redaction of everything',
      { verdict: 'allow', obligations: [{ type: 'redact', paths: [''] }] },
      '/obligations/0',
    ],
    [
      'a path that is none',
      { verdict: 'allow', obligations: [{ type: 'redact', paths: ['card'] }] },
      '/obligations/0',
    ],
    [
      'a bad escape in a path',
      { verdict: 'allow', obligations: [{ type: 'redact', paths: ['/a~2'] }] },
      '/obligations/0',
    ],
    [
      'redaction of nothing',
      { verdict: 'allow', obligations: [{ type: 'redact', paths: [] }] },
      '/obligations/0',
    ],
    [
      'seventeen obligations',
      { verdict: 'allow', obligations: Array(17).fill({ type: 'tag', name: 'a', value: '' }) },
      '/obligations: must not have more than 16',
    ],
    ['a label in words', { verdict: 'allow', labels: ['Money out'] }, '/labels/0: must match'],
    [
      'a risk nobody knows',
      { verdict: 'escalate', approval: { risk: 'huge' } },
      '/approval/risk: must be equal to one of',
    ],
    [
      'a week and a second',
      { verdict: 'escalate', approval: { ttl: 604_801 } },
      '/approval/ttl: must be <= 604800',
    ],
    [
      'approval for a block',
      { verdict: 'block', approval: { risk: 'low' } },
      '/approval: only "escalate"',
    ],
    [
      'obligations that are null',
      { verdict: 'allow', obligations: null },
      '/obligations: must be array',
    ],
  ];
  test.each(bad)('does not count: %s', (_, value, detail) => {
    const parsed = parsePolicyOutput(value);
    expect([parsed.ok, parsed.ok ? '' : parsed.detail]).toEqual([
      false,
      expect.stringContaining(detail),
    ]);
  });

  test('the detail never shows a value', () => {
    const parsed = parsePolicyOutput({ verdict: 'secret', message: 'secret' });
    expect(JSON.stringify(parsed)).not.toContain('secret');
  });
});

describe('the input', () => {
  test('is valid when everything is empty', () => {
    expect(policyInputFault(emptyInput())).toBeUndefined();
  });

  const input = emptyInput();
  const without = (part: 'call' | 'principal' | 'capability' | 'intent' | 'session' | 'time') =>
    Object.keys(input[part]).map((name): [string, unknown] => {
      const rest: Record<string, unknown> = { ...input[part] };
      delete rest[name];
      return [`${part}.${name}`, { ...input, [part]: rest }];
    });
  const parts = ['call', 'principal', 'capability', 'intent', 'session', 'time'] as const;

  test.each(parts.flatMap(without))('has always %s', (_, incomplete) => {
    expect(policyInputFault(incomplete)).toMatch(/must have required properties/);
  });

  test.each(Object.keys(input))('has %s, and not null', (name) => {
    expect(policyInputFault({ ...input, [name]: null })).toBeDefined();
    expect(policyInputFault({ ...input, [name]: undefined })).toBeDefined();
  });

  test('has nothing else', () => {
    expect(policyInputFault({ ...input, approval: {} })).toBe('/approval: unknown member');
  });

  test('has a schema that knows the declared facts', () => {
    const schema = policyInputJsonSchema({ order: { type: 'object' } }) as {
      properties: { facts: object };
    };
    expect(schema.properties.facts).toEqual({
      type: 'object',
      properties: { order: { type: 'object' } },
      required: ['order'],
      additionalProperties: false,
    });
  });
});

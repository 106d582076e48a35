import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import {
  compileFactKeys,
  FACT_KEY_CHARS_MAX,
  factKeyOf,
  factKeys,
  type FactSources,
  MalformedFacts,
} from '#contracts/facts.ts';
import { anyCharacter } from '#test/support/any-character.ts';

const sources = (args: FactSources['call']['arguments'] = {}): FactSources => ({
  call: { tool: 'refund_order', upstream: 'shop', arguments: args },
  principal: {
    tenant: 'demo',
    agent: 'support-bot',
    agent_class: 'support',
    on_behalf_of: 'ann@example.com',
    workflow: '',
  },
  intent: { task: 'T-1' },
  session: { id: 's 1' },
});

/** The key that one template gives for the given arguments. */
const keyFor = (template: string, args: FactSources['call']['arguments'] = {}) =>
  factKeys(compileFactKeys({ it: template }), sources(args))[0]?.key;

describe('a key template', () => {
  const filled: [string, string, string | undefined][] = [
    ['plain names', 'shop/settings', 'shop/settings'],
    ['the person', 'people/{principal.on_behalf_of}', 'people/ann=40example=2Ecom'],
    [
      'agent, class, tenant',
      '{principal.tenant}/{principal.agent_class}/{principal.agent}',
      'demo/support/support-bot',
    ],
    ['tool and upstream', 'tools/{call.upstream}/{call.tool}', 'tools/shop/refund_order'],
    ['task and session', '{intent.task}/{session.id}', 'T-1/s=201'],
    ['something that is empty', 'flows/{principal.workflow}', undefined],
  ];
  test.each(filled)('takes %s', (_, template, key) => {
    expect(keyFor(template)).toBe(key);
  });

  const values: [string, unknown, string | undefined][] = [
    ['text', 'A-1001', 'orders/A-1001'],
    ['an integer', 42, 'orders/42'],
    ['zero', 0, 'orders/0'],
    ['a negative integer', -7, 'orders/-7'],
    ['a slash', '../people/ann', 'orders/=2E=2E=2Fpeople=2Fann'],
    ['a wildcard of NATS', '>', 'orders/=3E'],
    ['another wildcard', 'a.*', 'orders/a=2E=2A'],
    ['a blank', 'a b', 'orders/a=20b'],
    ['what looks escaped', '=2F', 'orders/=3D2F'],
    ['other letters', 'é€😀', 'orders/=C3=A9=E2=82=AC=F0=9F=98=80'],
    ['a NUL', 'a\0', 'orders/a=00'],
    ['a placeholder', '{principal.agent}', 'orders/=7Bprincipal=2Eagent=7D'],
    ['half a surrogate pair', '\ud800', undefined],
    ['empty text', '', undefined],
    ['a fraction', 1.5, undefined],
    ['an integer that lost digits', 2 ** 53, undefined],
    ['true', true, undefined],
    ['null', null, undefined],
    ['a list', ['A-1001'], undefined],
    ['an object', { id: 1 }, undefined],
    ['more than a key may be', 'x'.repeat(FACT_KEY_CHARS_MAX), undefined],
  ];
  test.each(values)('is filled with %s', (_, value, key) => {
    expect(keyFor('orders/{call.arguments.id}', { id: value })).toBe(key);
  });

  test('follows a path of own members only', () => {
    const template = 'orders/{call.arguments.order.id}';
    expect([
      keyFor(template, { order: { id: 'A' } }),
      keyFor(template, { order: ['A'] }),
      keyFor(template, { order: null }),
      keyFor(template, {}),
      keyFor('x/{call.arguments.constructor.name}', {}),
      keyFor('x/{call.arguments.list.length}', { list: [1] }),
      keyFor('x/{call.arguments.text.length}', { text: 'abc' }),
    ]).toEqual(['orders/A', undefined, undefined, undefined, undefined, undefined, undefined]);
  });

  test('gives different keys for different texts, in the alphabet of a NATS key', () => {
    const text = fc.string({ minLength: 1, maxLength: 40, unit: anyCharacter });
    fc.assert(
      fc.property(text, text, (one, other) => {
        const keys = [one, other].map((id) => keyFor('orders/{call.arguments.id}', { id }));
        for (const key of keys) expect(key).toMatch(/^orders\/[A-Za-z0-9_=-]+$/);
        expect(keys[0] === keys[1]).toBe(one === other);
      }),
    );
  });

  test('finds what an operator stored under the same name', () => {
    expect([
      factKeyOf('people/ann@example.com'),
      factKeyOf('orders/42'),
      factKeyOf('orders//42'),
      factKeyOf(''),
    ]).toEqual([keyFor('people/{principal.on_behalf_of}'), 'orders/42', undefined, undefined]);
  });
});

describe('a declaration', () => {
  const problems = (declaration: unknown) => {
    try {
      return compileFactKeys(declaration).map(({ alias }) => alias);
    } catch (fault) {
      if (!(fault instanceof MalformedFacts)) throw fault;
      return fault.problems;
    }
  };

  test('is required in its short form and may be optional in its long one', () => {
    const facts = compileFactKeys({
      order: 'orders/{call.arguments.id}',
      limit: { key: 'limits/refund', required: false, default: { max: 100 } },
    });
    expect(factKeys(facts, sources({ id: 'A' }))).toEqual([
      { alias: 'limit', key: 'limits/refund', required: false, default: { max: 100 } },
      { alias: 'order', key: 'orders/A', required: true, default: undefined },
    ]);
  });

  test('tells which stored values count', () => {
    const [order] = compileFactKeys({
      order: {
        key: 'orders/x',
        schema: { type: 'object', properties: { total: { type: 'number' } }, required: ['total'] },
      },
    });
    const [any] = compileFactKeys({ any: 'x' });
    expect(
      [{ total: 5 }, { total: '5' }, { total: null }, {}, null].map((v) => order?.fits(v)),
    ).toEqual([true, false, false, false, false]);
    expect([5, 'x', false, null].map((v) => any?.fits(v))).toEqual([true, true, true, false]);
  });

  const refused: [string, unknown, string][] = [
    ['a list', [], 'must be object'],
    ['an alias in capitals', { Order: 'x' }, 'must not have additional properties'],
    ['an unknown member', { order: { key: 'x', optional: true } }, 'order: '],
    ['an empty segment', { order: 'orders//x' }, 'order: segment "" is neither'],
    [
      'part of a segment',
      { order: 'orders/x-{call.tool}' },
      'order: segment "x-{call.tool}" is neither',
    ],
    ['a dot', { order: 'orders.x' }, 'order: segment "orders.x" is neither'],
    ['an unknown source', { order: '{capability.id}' }, 'order: {capability.id} is not one of'],
    ['all arguments', { order: '{call.arguments}' }, 'order: {call.arguments} is not one of'],
    ['facts of facts', { order: '{facts.other}' }, 'order: {facts.other} is not one of'],
    [
      'an optional fact without default',
      { order: { key: 'x', required: false } },
      'order: an optional fact needs',
    ],
    [
      'a default of null',
      { order: { key: 'x', required: false, default: null } },
      'order: an optional fact needs',
    ],
    [
      'a required fact with default',
      { order: { key: 'x', default: 1 } },
      'order: a required fact has no default',
    ],
    [
      'a default that does not fit',
      { order: { key: 'x', required: false, default: 1, schema: { type: 'string' } } },
      'order: the default does not fit',
    ],
    [
      'a schema that refers',
      { order: { key: 'x', schema: { $ref: '#/x' } } },
      'order: a schema of a fact has no references and no patterns',
    ],
    [
      'a schema with a pattern',
      { order: { key: 'x', schema: { type: 'string', pattern: '^(a+)+$' } } },
      'order: a schema of a fact has no references and no patterns',
    ],
    [
      'too many facts',
      Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`f${at}`, 'x'])),
      'must not have more than 32',
    ],
  ];
  test.each(refused)('is refused with %s', (_, declaration, problem) => {
    expect(problems(declaration).join('; ')).toContain(problem);
  });

  test('names every problem at once', () => {
    expect(problems({ a: 'x.y', b: '{z}' })).toHaveLength(2);
  });
});

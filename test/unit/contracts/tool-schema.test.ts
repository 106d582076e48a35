import { describe, expect, test } from 'vitest';

import type { JsonObject } from '#contracts/json.ts';
import { boundedRegExp } from '#contracts/pattern-cost.ts';
import { compileToolSchema, UnusableSchema } from '#contracts/tool-schema.ts';

/** What zod 4 writes for z.email(). */
const EMAIL =
  "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$";

describe('patterns', () => {
  const PATTERNS: readonly (readonly [name: string, pattern: string, usable: boolean])[] = [
    ['a plain one', '^[A-Z]{2}-\\d+$', true],
    ['an email address as zod writes it', EMAIL, true],
    ['a repeat of a repeat that the linear engine takes', '^(a+)+$', true],
    ['the same behind a lookahead', '^(?=a)(a+)+$', false],
    ['a branching group that the linear engine takes', '^(a|a)*$', true],
    ['the same with a back reference', '^(a|a)*\\1$', false],
    ['a counted repeat of a repeat', '^(a+){2,}$', false],
    ['a repeat of Unicode letters inside a repeat', '^(\\p{L}+)+$', false],
    ['Unicode letters', '^\\p{L}+$', true],
    ['a separator that the repeat can take', '^(?=x)([a-z.]+\\.)+$', false],
    ['a separator that the repeat cannot take', '^(?=x)([a-z]+\\.)+$', true],
    ['a repeat nested two deep', '^(?=x)(([a-z]+\\.)+,)+$', true],
    ['a repeat nested two deep without a separator', '^(?=x)(([a-z]+\\.)+)+$', false],
    ['brackets in a class', '^(?!x)[()|*]+$', true],
  ];
  test.each(PATTERNS)('%s: %s', (_, pattern, usable) => {
    expect(boundedRegExp(pattern) !== undefined).toBe(usable);
  });

  test('what is no pattern throws', () => {
    expect(() => boundedRegExp('(')).toThrow(SyntaxError);
  });

  test('what would backtrack for minutes ends', () => {
    expect(boundedRegExp('^(a|a)*$')?.test(`${'a'.repeat(60)}!`)).toBe(false);
  });
});

describe('arguments', () => {
  const schema = {
    type: 'object',
    properties: { to: { type: 'string', pattern: EMAIL }, amount: { type: 'number', minimum: 0 } },
    required: ['to'],
    additionalProperties: false,
  };
  const CASES: readonly (readonly [name: string, given: JsonObject, fault: string])[] = [
    ['fit', { to: 'ann@example.com', amount: 1 }, ''],
    ['miss a member', {}, "must have required property 'to'"],
    [
      'have an unknown member',
      { to: 'ann@example.com', x: 1 },
      'must NOT have additional properties',
    ],
    ['break a bound', { to: 'ann@example.com', amount: -1 }, '/amount must be >= 0'],
    ['break a pattern', { to: 'ann' }, `/to must match pattern "${EMAIL}"`],
  ];
  test.each(CASES)('that %s', (_, given, fault) => {
    expect(compileToolSchema(schema)(given)).toBe(fault);
  });

  test('draft-07 is read by its own rules', () => {
    const check = compileToolSchema({
      $schema: 'http://json-schema.org/draft-07/schema#',
      definitions: { pair: { type: 'array', items: [{ type: 'string' }, { type: 'number' }] } },
      properties: { pair: { $ref: '#/definitions/pair' } },
    });
    expect([check({ pair: ['a', 1] }), check({ pair: ['a', 'b'] })]).toEqual([
      '',
      '/pair/1 must be number',
    ]);
  });
});

describe('arguments that would keep a worker busy', () => {
  /** A definition that refers twice to the one before it, `levels` times over. */
  const doubling = (levels: number): JsonObject => {
    const $defs: JsonObject = { enum: { type: 'string' } };
    for (let level = 1; level <= levels; level += 1) {
      const $ref = `#/$defs/${level === 1 ? 'enum' : level - 1}`;
      $defs[level] = { anyOf: [{ $ref }, { $ref }] };
    }
    return { properties: { a: { $ref: `#/$defs/${levels}` } }, $defs };
  };
  const expression = {
    properties: { a: { oneOf: [{ $ref: '#' }, { $ref: '#' }] } },
    required: ['a'],
  };
  const nested = (depth: number): JsonObject => (depth === 0 ? {} : { a: nested(depth - 1) });
  const TOO_COSTLY = 'the arguments take too much work to check';

  const CASES: readonly (readonly [name: string, schema: JsonObject, given: JsonObject])[] = [
    ['references that double', doubling(31), { a: 5 }],
    ['a recursion that doubles', expression, nested(31)],
    ['a recursion that goes nowhere', { $ref: '#' }, {}],
  ];
  test.each(CASES)('%s: refused instead', (_, schema, given) => {
    expect(compileToolSchema(schema)(given)).toBe(TOO_COSTLY);
  });

  test('the same schemas judge what takes little', () => {
    expect(compileToolSchema(doubling(3))({ a: 'x' })).toBe('');
    expect(compileToolSchema(doubling(3))({ a: 5 })).toBe('/a must be string');
  });

  test('unique items are told apart in one pass', () => {
    const check = compileToolSchema({ properties: { ids: { uniqueItems: true } } });
    const ids = Array.from({ length: 60_000 }, (__, id) => ({ id }));
    expect(check({ ids })).toBe('');
    expect(check({ ids: [...ids, { id: 7 }] })).toBe('/ids must NOT have duplicate items');
  });

  test('what stands beside data is still data', () => {
    const check = compileToolSchema({ properties: { a: { const: { $ref: 'b' } } } });
    expect(check({ a: { $ref: 'b' } })).toBe('');
  });
});

describe('schemas that cannot be used', () => {
  const CASES: readonly (readonly [name: string, schema: JsonObject, path: string])[] = [
    ['an old dialect', { $schema: 'http://json-schema.org/draft-04/schema#' }, '/$schema'],
    ['a reference to elsewhere', { allOf: [{ $ref: 'https://x.example/s' }] }, '/allOf/0/$ref'],
    ['a reference to nothing', { $ref: '#/$defs/none' }, ''],
    ['a word that is no type', { type: 'text' }, ''],
    [
      'a pattern that is none',
      { properties: { 'a/b': { pattern: '(' } } },
      '/properties/a~1b/pattern',
    ],
    ['a costly pattern', { patternProperties: { '^(?=a)(a+)+$': {} } }, '/patternProperties'],
    ['a long pattern', { pattern: 'a'.repeat(513) }, '/pattern'],
    ['too much of it', { description: 'a'.repeat(65_536) }, ''],
  ];
  test.each(CASES)('%s', (_, schema, path) => {
    let fault: unknown;
    try {
      compileToolSchema(schema);
    } catch (error) {
      fault = error;
    }
    expect(fault).toBeInstanceOf(UnusableSchema);
    expect((fault as UnusableSchema).path).toBe(path);
  });

  test('a member named like a keyword is no keyword', () => {
    const check = compileToolSchema({
      properties: { pattern: { type: 'string' } },
      default: { pattern: '(' },
    });
    expect(check({ pattern: '(' })).toBe('');
  });
});

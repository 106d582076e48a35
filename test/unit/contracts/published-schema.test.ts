// Schemas as generators of clients understand them: the same values in other forms.

import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';

import { adminOpenApi } from '#contracts/admin-openapi.ts';
import { openapi } from '#contracts/openapi.ts';
import { published } from '#contracts/published-schema.ts';

const word = (value: unknown) => ({ type: 'string', const: value });
const any = { '^.*$': {} };
const TEXTS = { '^[a-z]+$': { type: 'string' } };

describe('a schema', () => {
  test.each<[name: string, given: object, expected: object]>([
    [
      'a choice of words is an enum, with what else is said of it',
      { anyOf: [word('a'), word('b')], description: 'd' },
      { type: 'string', enum: ['a', 'b'], description: 'd' },
    ],
    [
      'a word or a form stays a choice',
      { anyOf: [word(''), { type: 'string', pattern: '^a$' }] },
      { anyOf: [word(''), { type: 'string', pattern: '^a$' }] },
    ],
    ['constants of two types stay a choice', ...same({ anyOf: [word('a'), { type: 'null' }] })],
    [
      'an object of which nothing is said takes any members',
      { type: 'object', description: 'd' },
      { type: 'object', description: 'd', additionalProperties: true },
    ],
    ['an object with members stays', ...same({ type: 'object', properties: { a: {} } })],
    [
      'a record of any names',
      { type: 'object', patternProperties: any },
      { type: 'object', additionalProperties: {} },
    ],
    [
      'a record of some names alone',
      { type: 'object', patternProperties: TEXTS, additionalProperties: false },
      {
        type: 'object',
        propertyNames: { type: 'string', pattern: '^[a-z]+$' },
        additionalProperties: { type: 'string' },
      },
    ],
    [
      'a record of some names beside others stays',
      ...same({ type: 'object', patternProperties: TEXTS }),
    ],
    [
      'schemas within schemas',
      { type: 'array', items: { type: 'object' } },
      { type: 'array', items: { type: 'object', additionalProperties: true } },
    ],
  ])('%s', (_name, given, expected) => {
    expect(published(given)).toEqual(expected);
  });
});

describe.each([
  ['ingress', openapi()],
  ['admin', adminOpenApi()],
])('the document of %s', (_name, text) => {
  const ajv = new Ajv2020({ strict: false, formats: { binary: true } });
  const schemas = schemasIn(JSON.parse(text));

  test('holds schemas that compile', () => {
    expect(schemas.length).toBeGreaterThan(5);
    for (const schema of schemas) expect(() => ajv.compile(schema)).not.toThrow();
  });

  test('has no form that generators misread', () => {
    expect(text).not.toContain('"patternProperties"');
    expect(text).not.toMatch(
      /"anyOf": \[\s*\{\s*"type": "string",\s*"const": "[^"]+"\s*\},\s*\{\s*"type": "string",\s*"const"/,
    );
  });
});

function same(schema: object): [object, object] {
  return [schema, schema];
}

/** Every schema of a body, wherever it stands in a document; those that only point elsewhere are left out. */
function schemasIn(value: unknown): object[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, part]: [string, unknown]) =>
    name === 'schema' && typeof part === 'object' && part !== null && !('$ref' in part)
      ? [part]
      : schemasIn(part),
  );
}

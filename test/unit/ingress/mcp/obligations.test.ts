// What the policy demands of a result, and what of it reaches the agent.

import { describe, expect, it } from 'vitest';

import type { JsonObject } from '#contracts/json.ts';

import { knownObligations, redacted } from '../../../../services/ingress/mcp/obligations.ts';

const redact = (...paths: string[]) => [{ type: 'redact' as const, paths }];
const TAG = { type: 'tag' as const, name: 'seen', value: 'yes' };
const text = (value: unknown) => [{ type: 'text', text: JSON.stringify(value) }];

describe('obligations of an allow', () => {
  it.each<[string, unknown[], boolean]>([
    ['none', [], true],
    ['those that are known', [...redact('/a'), TAG], true],
    ['one of a type that nobody knows', [{ type: 'step_up' }], false],
    ['one with a part that nobody knows', [{ ...TAG, when: 'later' }], false],
    ['a path that is no JSON pointer', redact('a'), false],
    ['no object', ['redact'], false],
  ])('are understood or not: %s', (_, given, known) => {
    expect(knownObligations(given)).toEqual(known ? given : undefined);
  });
});

describe('a result that has to be redacted', () => {
  const structured = {
    card: { number: '4711', 'a/b~c': 1 },
    rows: [{ name: 'x' }, { name: 'y' }],
  };
  const card = { number: '[redacted]', 'a/b~c': 1 };
  it.each<[string, string[], unknown]>([
    ['a member', ['/card/number'], { ...structured, card }],
    [
      'a member with signs of pointers',
      ['/card/a~1b~0c'],
      { ...structured, card: { number: '4711', 'a/b~c': '[redacted]' } },
    ],
    ['a whole part', ['/card'], { ...structured, card: '[redacted]' }],
    [
      'an element',
      ['/rows/1/name'],
      { ...structured, rows: [{ name: 'x' }, { name: '[redacted]' }] },
    ],
    ['several', ['/card', '/rows'], { card: '[redacted]', rows: '[redacted]' }],
    ['what is not there', ['/cards/number', '/rows/7', '/card/number/deep'], structured],
    ['what every object inherits', ['/__proto__/x', '/constructor', '/toString'], structured],
  ])('loses %s, also in the text that repeats it', (_, paths, expected) => {
    const result: JsonObject = { content: [...text(structured)], structuredContent: structured };
    const before = structuredClone(result);
    expect(redacted(result, redact(...paths))).toEqual({
      content: text(expected),
      structuredContent: expected,
    });
    expect(result).toEqual(before);
  });

  it.each<[string, JsonObject, JsonObject]>([
    [
      'of text alone',
      { content: text('4711') },
      { content: [{ type: 'text', text: '[redacted]' }] },
    ],
    [
      'whose structure has no parts',
      { content: text('4711'), structuredContent: '4711' },
      { content: [{ type: 'text', text: '[redacted]' }], structuredContent: '[redacted]' },
    ],
  ])('%s keeps nothing of its content', (_, result, expected) => {
    expect(redacted(result, redact('/card'))).toEqual(expected);
  });

  it('whose structure is a list is redacted like any other', () => {
    const result = { content: text([{ card: '4711' }]), structuredContent: [{ card: '4711' }] };
    expect(redacted(result, redact('/0/card'))).toEqual({
      content: text([{ card: '[redacted]' }]),
      structuredContent: [{ card: '[redacted]' }],
    });
  });

  it('that only asks for input passes, and a task does not: its result would come unredacted', () => {
    const asks = { resultType: 'input_required', inputRequests: {} };
    expect(redacted(asks, redact('/card'))).toBe(asks);
    const task = { resultType: 'task', taskId: 't-1', status: 'working' };
    expect(redacted(task, redact('/card'))).toMatchObject({ isError: true });
    expect(JSON.stringify(redacted(task, redact('/card')))).not.toContain('t-1');
  });

  it('that has to be tagged only is the very same', () => {
    const result = { content: text('4711') };
    expect(redacted(result, [TAG])).toBe(result);
  });
});

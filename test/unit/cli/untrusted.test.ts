// What an agent writes reaches a terminal only as text that a person can see.

import { expect, it } from 'vitest';

import { quoted, visible } from '#cli/untrusted.ts';

it.each([
  ['plain words', 'Refund order 17', 'Refund order 17'],
  ['a colour and a cursor move', '\u001b[2J\u001b[31mok', '\\u{001b}[2J\\u{001b}[31mok'],
  ['a new line that would look like ours', 'x\napproved', 'x\\u{000a}approved'],
  ['letters that run backwards', 'a\u202eb', 'a\\u{202e}b'],
  ['a space that has no width', 'pay\u200bpal', 'pay\\u{200b}pal'],
  ['letters of any language', 'zoë 日本', 'zoë 日本'],
])('%s', (_, given, expected) => {
  expect(visible(given)).toBe(expected);
});

it('cuts long words and says so', () => {
  expect(quoted('a'.repeat(500), 5)).toBe('"aaaaa…" (500 characters)');
});

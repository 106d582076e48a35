// What a page makes of words that are not ours: nothing acts, nothing hides, nothing is left out.

import { describe, expect, it } from 'vitest';

import { exactString, foreign, html, marked } from '#host/html.ts';

import { argumentsView } from '../../../services/admin/page/arguments-view.ts';
import { nextOf, placeOfPages } from '../../../services/admin/page/requests.ts';

/** Text of a page as a person sees it. */
const seen = (text: string): string =>
  text
    .replaceAll(/<[^>]*>/g, '')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');

describe('foreign words', () => {
  it.each([
    ['a tag', '<script>alert(1)</script>', '&lt;script&gt;alert(1)&lt;/script&gt;'],
    ['the end of an attribute', `" onload='x'`, '&quot; onload=&#39;x&#39;'],
    ['an entity', '&lt;', '&amp;lt;'],
    ['a change of direction', 'a\u202eb', 'a<span class="mark">U+202E</span>b'],
    [
      'what takes no place',
      'a\u200bb\u{e0041}',
      'a<span class="mark">U+200B</span>b<span class="mark">U+E0041</span>',
    ],
    [
      'a blank that is no space',
      'a\u00a0b\u3164',
      'a<span class="mark">U+00A0</span>b<span class="mark">U+3164</span>',
    ],
    [
      'a control',
      'a\u0000\u001b[31m',
      'a<span class="mark">U+0000</span><span class="mark">U+001B</span>[31m',
    ],
    ['a plain sentence', 'Grüße, 10 €', 'Grüße, 10 €'],
  ])('%s', (_, text, expected) => {
    expect(marked(text).text).toBe(expected);
    expect(foreign(text).text).toBe(`<bdi>${expected}</bdi>`);
    expect(html`<p title="${text}">`.text).not.toMatch(/<script|" onload/);
  });

  it('a line break is seen and breaks the line; a backslash and n is none', () => {
    expect(exactString('a\nb\\n').text).toBe('"a<span class="mark">\\n</span>\nb\\\\n"');
  });
});

describe('arguments', () => {
  it('are there to the last character', () => {
    const long = 'x'.repeat(100_000);
    const text = argumentsView(JSON.stringify({ body: long, last: 'END' })).text;
    expect(seen(text)).toContain(long);
    expect(seen(text)).toContain('100002 characters, all of them here');
    expect(seen(text)).toContain('"END"');
  });

  it('read as the JSON that they are', () => {
    const args = { list: [1, { a: [], b: {} }, null], amount: 12.5, __proto__x: '<b>' };
    const text = argumentsView(JSON.stringify(args)).text;
    const values = [...text.matchAll(/<pre[^>]*>([\s\S]*?)<\/pre>/g)].map(([, value = '']) =>
      JSON.parse(seen(value)),
    );
    expect(values).toEqual(Object.values(args));
  });
});

it.each([
  ['/approvals', '/approvals'],
  ['/approvals/demo/0190', '/approvals/demo/0190'],
  ['https://evil.example/approvals', '/approvals'],
  ['//evil.example', '/approvals'],
  ['/approvals//evil.example', '/approvals'],
  ['/approvals/../sign-out', '/approvals'],
])('after signing in at %s one goes to %s', (asked, expected) => {
  expect(nextOf(asked)).toBe(expected);
});

it.each([
  ['', '127.0.0.1', { origin: undefined, secure: false }],
  ['http://localhost:8481', '127.0.0.1', { origin: 'http://localhost:8481', secure: false }],
  ['https://gate.example/', '0.0.0.0', { origin: 'https://gate.example', secure: true }],
  ['', '0.0.0.0', undefined],
  ['http://gate.example', '0.0.0.0', undefined],
])('people sign in at %j, served on %s', (url, host, expected) => {
  if (expected === undefined)
    expect(() => placeOfPages(url, host)).toThrow('COUNTERSIGN_ADMIN_URL');
  else expect(placeOfPages(url, host)).toEqual(expected);
});

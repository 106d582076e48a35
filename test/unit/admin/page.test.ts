// What a page makes of words that are not ours: nothing acts, nothing hides, nothing is left out.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { exactString, foreign, html, marked, plain, spelled } from '#host/html.ts';

import { AdminError } from '../../../services/admin/errors.ts';
import { argumentsView } from '../../../services/admin/page/arguments-view.ts';
import { formOf, nextOf, placeOfPages, setCookie } from '../../../services/admin/page/requests.ts';

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

describe('a form', () => {
  const LOCAL = { origin: undefined, secure: false };
  const PUBLIC = { origin: 'https://gate.example', secure: true };
  it.each<[name: string, place: typeof LOCAL | typeof PUBLIC, headers: object, expected: string]>([
    ['of this address', LOCAL, { host: '127.0.0.1:8481', origin: 'http://127.0.0.1:8481' }, 'yes'],
    [
      'of this address by its name',
      LOCAL,
      { host: 'localhost:8481', origin: 'http://localhost:8481' },
      'yes',
    ],
    [
      'of this address by number',
      LOCAL,
      { host: '[::1]:8481', origin: 'http://[::1]:8481' },
      'yes',
    ],
    [
      'of a name that was made to lead here',
      LOCAL,
      { host: 'evil.example:8481', origin: 'http://evil.example:8481' },
      'sign_in.form',
    ],
    [
      'of a name that looks like here',
      LOCAL,
      { host: '127.0.0.1.evil.example', origin: 'http://127.0.0.1.evil.example' },
      'sign_in.form',
    ],
    [
      'of another port',
      LOCAL,
      { host: '127.0.0.1:8481', origin: 'http://127.0.0.1:8482' },
      'sign_in.form',
    ],
    [
      'of the public address, whatever a proxy calls us',
      PUBLIC,
      { host: 'admin:8481', origin: 'https://gate.example' },
      'yes',
    ],
    [
      'of the public address without TLS',
      PUBLIC,
      { host: 'gate.example', origin: 'http://gate.example' },
      'sign_in.form',
    ],
    ['of a page without a name', PUBLIC, { host: 'gate.example', origin: 'null' }, 'sign_in.form'],
    [
      'that says it comes from elsewhere',
      PUBLIC,
      { host: 'gate.example', 'sec-fetch-site': 'cross-site' },
      'sign_in.form',
    ],
    [
      'that is none',
      PUBLIC,
      { host: 'gate.example', 'content-type': 'application/json' },
      'request.content_type',
    ],
  ])('%s', (_, place, headers, expected) => {
    const sent = { 'content-type': 'application/x-www-form-urlencoded', ...headers };
    const request = { headers: sent, body: Buffer.from('said=yes') };
    const read = (): string | null => {
      try {
        // Only these two members are read.
        return formOf(request as Parameters<typeof formOf>[0], place).get('said');
      } catch (error) {
        if (error instanceof AdminError) return error.code;
        throw error;
      }
    };
    expect(read()).toBe(expected);
  });

  it('of more than any could be is not read', () => {
    const headers = { host: '[::1]', 'content-type': 'application/x-www-form-urlencoded' };
    const request = { headers, body: Buffer.alloc(700_000, 'a') };
    expect(() => formOf(request as unknown as Parameters<typeof formOf>[0], LOCAL)).toThrow(
      AdminError,
    );
  });

  it('comes with a cookie that only TLS carries where there is TLS', () => {
    expect([setCookie('x', PUBLIC), setCookie('', PUBLIC), setCookie('x', LOCAL)]).toEqual([
      '__Host-countersign=x; Path=/; HttpOnly; SameSite=Lax; Secure',
      '__Host-countersign=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0',
      'countersign=x; Path=/; HttpOnly; SameSite=Lax',
    ]);
  });
});

it.each([
  ['what hides is replaced', 'a\u202eb\u200bc', 10, 'a\ufffdb\ufffdc'],
  ['what is long is cut', 'abcdef', 3, 'abc…'],
])('in a title %s', (_, text, max, expected) => {
  expect(plain(text, max)).toBe(expected);
});

it('what hides in JSON that a person edits is spelled out, with the same meaning', () => {
  const value = { 'a\u202eb': ['\u{e0041}\u00a0', 'x\ny', 'Grüße'] };
  const text = spelled(JSON.stringify(value, null, 2));
  expect(text).not.toMatch(/[\u202e\u00a0\u{e0041}]/u);
  expect([JSON.parse(text), text.includes('Grüße')]).toEqual([value, true]);
});

describe('the look', () => {
  const css = readFileSync(join(CHECKOUT, 'services/host/page.css'), 'utf8');
  const [light = '', dark = ''] = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, block]) => block);
  const colorOf = (block: string, name: string): number[] => {
    const [, hex = ''] = new RegExp(`--${name}: #([0-9a-f]{6})`).exec(block) ?? [];
    return [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255);
  };
  /** @see https://www.w3.org/TR/WCAG22/#dfn-relative-luminance */
  const luminance = (color: number[]): number => {
    const [red = 0, green = 0, blue = 0] = color.map((part) =>
      part <= 0.040_45 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (block: string, one: string, other: string): number => {
    const [low = 0, high = 0] = [one, other]
      .map((name) => luminance(colorOf(block, name)))
      .sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const PAIRS = [
    ...['ground', 'sheet', 'quiet'].flatMap((ground) => [
      ['ink', ground],
      ['soft', ground],
      ['mark', ground],
    ]),
    ...['good', 'bad', 'wait'].flatMap((look) => [
      [look, `${look}-ground`],
      ['ink', `${look}-ground`],
    ]),
    ...['accent', 'good', 'bad'].map((ink) => [ink, 'sheet']),
    ['accent', 'ground'],
  ] as const;
  it.each(PAIRS.map(([ink = '', ground = '']) => [ink, ground] as const))(
    '%s on %s is read by weak eyes (WCAG AA), by day and by night',
    (ink, ground) => {
      expect(contrast(light, ink, ground)).toBeGreaterThanOrEqual(4.5);
      expect(contrast(dark, ink, ground)).toBeGreaterThanOrEqual(4.5);
    },
  );
});

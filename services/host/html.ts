/** Pages as text: everything put into a page is escaped, and words of an agent cannot hide anything or turn around. */
import { HIDDEN } from '#contracts/hidden.ts';

/** Text that is a page, or a part of one, already. Only `html` makes it. */
class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}
export type { Html };

type Part = string | number | Html | readonly Html[];

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '');

/** A part of a page. What stands in `${}` is escaped, unless it is a part of a page itself. */
export function html(parts: TemplateStringsArray, ...values: readonly Part[]): Html {
  const text = parts.map((part, index) => part + textOf(values[index] ?? '')).join('');
  return new Html(text);
}

export const NOTHING = html``;

function textOf(part: Part): string {
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(({ text }) => text).join('');
  return escaped(String(part));
}

/** Words that are not ours, apart from the direction of what stands around them; what hides is shown as its code. */
export const foreign = (text: string): Html => html`<bdi>${marked(text)}</bdi>`;

/** The same for exact text (JSON): a line break is shown as `\n`, and breaks the line. */
export function exactString(text: string): Html {
  const lines = text
    .toWellFormed()
    .split('\n')
    .map((line) => marked(JSON.stringify(line).slice(1, -1)));
  const joined = lines.map((line, index) =>
    index === 0 ? line : html`<span class="mark">\\n</span>${'\n'}${line}`,
  );
  return html`"${joined}"`;
}

/** Text with every hidden character as its code point. */
export function marked(text: string): Html {
  const parts: Html[] = [];
  let from = 0;
  for (const match of text.matchAll(HIDDEN)) {
    const code = (match[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
    parts.push(html`${text.slice(from, match.index)}<span class="mark">U+${code}</span>`);
    from = match.index + match[0].length;
  }
  return html`${parts}${text.slice(from)}`;
}

/** Text for a place that takes no marks, such as a title: what hides is a replacement character, what is long is cut. */
export const plain = (text: string, max: number): string =>
  (text.length <= max ? text : `${text.slice(0, max).toWellFormed()}…`).replace(HIDDEN, '\uFFFD');

/** JSON with the same meaning, in which whatever hides in a string is an escape. */
export const spelled = (json: string): string =>
  json.replace(HIDDEN, (hidden) => (hidden === '\n' ? hidden : escapeOf(hidden)));

const escapeOf = (hidden: string): string =>
  Array.from({ length: hidden.length }, (_, at) => hidden.charCodeAt(at))
    .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
    .join('');

/** Neither frames nor foreign content nor anything inline: a page is our own HTML, style and script, or nothing. */
export const PAGE_HEADERS = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
} as const;

/** Every argument of a call, complete, from the very bytes that will run. What is long scrolls; nothing is left out. */
import { exactString, html, type Html, marked, plain } from '#host/html.ts';

/** Above so many characters an argument says its length, and that it scrolls. */
const LONG = 600;
const INDENT = '  ';
/** Deeper JSON is not indented any further: a page is not much larger than what it shows. */
const INDENT_MAX = 8;

/** @param text canonical JSON of an object, made by the platform; its content is untrusted */
export function argumentsView(text: string): Html {
  const entries = Object.entries(JSON.parse(text) as Readonly<Record<string, unknown>>);
  if (entries.length === 0) return html`<p>None.</p>`;
  return html`${entries.map(([name, value]) => argumentView(name, value))}`;
}

function argumentView(name: string, value: unknown): Html {
  const { length } = JSON.stringify(value);
  const long =
    length <= LONG
      ? html``
      : html` <span class="soft">· ${length} characters, all of them here; scroll to read</span>`;
  return html`<div class="argument">
    <p>
      <code><bdi>${marked(name)}</bdi></code
      >${long}
    </p>
    <pre
      tabindex="0"
      role="region"
      aria-label="Value of ${plain(name, 64)}"
    ><bdi>${jsonView(value, '')}</bdi></pre>
  </div> `;
}

/** JSON with one member in each line. Depth is bounded by the platform's parser. */
function jsonView(value: unknown, indent: string): Html {
  if (typeof value === 'string') return exactString(value);
  if (typeof value !== 'object' || value === null) return html`${JSON.stringify(value)}`;
  const inner = indent.length < INDENT_MAX ? indent + INDENT : indent;
  const isList = Array.isArray(value);
  const parts = isList
    ? value.map((member: unknown) => jsonView(member, inner))
    : Object.entries(value).map(
        ([name, member]) => html`${exactString(name)}: ${jsonView(member, inner)}`,
      );
  const [open, close] = isList ? ['[', ']'] : ['{', '}'];
  if (parts.length === 0) return html`${open}${close}`;
  const lines = parts.map(
    (part, index) => html`${inner}${part}${index + 1 < parts.length ? ',' : ''}${'\n'}`,
  );
  return html`${open}${'\n'}${lines}${indent}${close}`;
}

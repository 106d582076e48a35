// Words of an agent on a terminal: quoted, cut, and without anything that a terminal would obey or that hides text.

import { HIDDEN } from '#contracts/hidden.ts';

const CHARACTERS_MAX = 400;

/** Text in quotes, with every hidden character as its code. */
export function quoted(text: string, max = CHARACTERS_MAX): string {
  const shown = text.length <= max ? text : `${text.slice(0, max)}…`;
  const rest = text.length <= max ? '' : ` (${text.length} characters)`;
  return `${visible(JSON.stringify(shown.toWellFormed()))}${rest}`;
}

/** Text without quotes: every hidden character is shown as its code. */
export const visible = (text: string): string =>
  text.replace(
    HIDDEN,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}}`,
  );

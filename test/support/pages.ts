// Code of a Markdown page, so that tests can run what the page shows.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { CHECKOUT } from '#cli/local/places.ts';

export interface Block {
  /** Language of the fence. */
  readonly language: string;
  /** Words of the HTML comment right above it, if any. */
  readonly words: readonly string[];
  readonly code: string;
  /** Line of the page where the code begins. */
  readonly line: number;
  /** First line of text behind it. */
  readonly after: string;
}

const FENCE = /(?:<!-- ([\w -]+) -->\n)?```(\w+)\n([\s\S]*?)```(?=\n*(.*))/g;

/** The blocks of a page of the repository, in order. */
export function blocksOf(page: string): Block[] {
  const text = readFileSync(join(CHECKOUT, page), 'utf8');
  return [...text.matchAll(FENCE)].map((match) => {
    const [whole, comment, language = '', code = '', after = ''] = match;
    const begin = match.index + whole.indexOf('```');
    return {
      language,
      words: comment?.split(' ') ?? [],
      code,
      line: text.slice(0, begin).split('\n').length + 1,
      after,
    };
  });
}

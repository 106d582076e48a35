// Every page that a page of ours points to is there, and so is the heading.

import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { expect, it } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';

const pages = [
  '*.md',
  'docs/**/*.md',
  'policies/*.md',
  'bench/*.md',
  'sdk/*/*.md',
  'test/vectors/*/*.md',
]
  .flatMap((pattern) => globSync(pattern, { cwd: CHECKOUT }))
  .sort();
const text = (page: string): string => readFileSync(join(CHECKOUT, page), 'utf8');

/** Name of a heading in an address, as GitHub makes it. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
const anchorsOf = (page: string): string[] =>
  [...text(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchor(heading));

it('there are pages', () => {
  expect(pages).toEqual(expect.arrayContaining(['README.md', 'docs/connect.md']));
});

it.each(pages)('%s', (page) => {
  const links = [...text(page).matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)];
  const broken = links
    .map(([, link = '']) => link)
    .filter((link) => {
      const [path = '', heading] = link.split('#');
      const target = path === '' ? page : join(dirname(page), path);
      if (!existsSync(join(CHECKOUT, target))) return true;
      return (
        heading !== undefined && target.endsWith('.md') && !anchorsOf(target).includes(heading)
      );
    });
  expect(broken).toEqual([]);
});

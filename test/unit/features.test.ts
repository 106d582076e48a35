// docs/features.md and docs/failure.md promise nothing without naming what shows it, and what they name is there; so is
// what the guides for readers of the code name.

import { existsSync, readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
const read = (file: string): string => readFileSync(new URL(file, root), 'utf8');
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };

interface Feature {
  readonly id: string;
  readonly state: string;
  readonly proof: string;
}

const ROW = /^\| ([A-Z]+\d+) \| (?:[^|\\]|\\.)+ \| (\w+) \|(?: (.*))? \|$/;
const features = read('docs/features.md')
  .split('\n')
  .filter((line) => /^\| [A-Z]+\d/.test(line))
  .map((line): Feature => {
    const [, id = line, state = '', proof = ''] = ROW.exec(line) ?? [];
    return { id, state, proof };
  });

/** Files and commands in backticks. */
const named = (text: string): string[] =>
  [...text.matchAll(/`((?:test|docs|contracts|policies|bench)\/[^`]*|npm run [\w-]+)`/g)].map(
    ([, name = '']) => name,
  );
const isThere = (name: string): boolean =>
  name.startsWith('npm run ') ? name.slice(8) in scripts : existsSync(new URL(name, root));

describe('docs/features.md', () => {
  it('has every row once, in one of three states', () => {
    expect(features.length).toBeGreaterThan(150);
    expect(new Set(features.map(({ id }) => id)).size).toBe(features.length);
    expect(features.filter(({ state }) => !['yes', 'part', 'no'].includes(state))).toEqual([]);
  });

  it('names a proof for what is built, and none for what is not', () => {
    const proved = ({ proof }: Feature) => named(proof).length > 0;
    const wrong = features.filter((feature) => proved(feature) !== (feature.state !== 'no'));
    expect(wrong).toEqual([]);
  });

  it.each(features.filter(({ proof }) => proof !== ''))('$id names what is there', ({ proof }) => {
    expect(named(proof).filter((name) => !isThere(name))).toEqual([]);
  });
});

it('docs/failure.md names tests that are there', () => {
  const names = named(read('docs/failure.md'));
  expect(names.length).toBeGreaterThan(10);
  expect(names.filter((name) => !isThere(name))).toEqual([]);
});

it.each(['ARCHITECTURE.md', 'CONTRIBUTING.md'])('%s names files that are there', (guide) => {
  const tops = 'contracts|services|policies|migrations|compose|cli|sdk|test|bench|docs';
  const names = [...read(guide).matchAll(new RegExp(`\`((?:${tops})/[\\w./-]*)\``, 'g'))].map(
    ([, name = '']) => name,
  );
  expect(names.length).toBeGreaterThan(10);
  expect(names.filter((name) => !isThere(name))).toEqual([]);
});

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { keepPrivate, writePrivate } from '#cli/local/private-file.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-private-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('a secret is made once, for its owner only, and nothing else stands beside it', () => {
  const file = join(folder, 'a.key');
  const kept = ['one', 'two'].map((content) => keepPrivate(file, () => content));
  expect(kept).toEqual(['one', 'one']);
  expect([readdirSync(folder), statSync(file).mode & 0o777]).toEqual([['a.key'], 0o600]);
});

it('a file is replaced whole', () => {
  const file = join(folder, 'a.token');
  writePrivate(file, 'before');
  writePrivate(file, 'after');
  expect([readFileSync(file, 'utf8'), readdirSync(folder)]).toEqual(['after', ['a.token']]);
});

it('an empty secret is no secret, and is not made again: records may stand under the one that is lost', () => {
  const file = join(folder, 'a.key');
  writeFileSync(file, '\n');
  expect(() => keepPrivate(file, () => 'new')).toThrow(`${file} is empty: what it held is lost.`);
});

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { makeSystemFolder } from '#cli/local/system-folder.ts';
import { CliError } from '#cli/output.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'countersign-folder-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(dir, { recursive: true, force: true });
});

function refusal(of: string): { message: string; help: string | undefined } {
  try {
    makeSystemFolder(of);
  } catch (error) {
    if (error instanceof CliError) return { message: error.message, help: error.help };
    throw error;
  }
  throw new Error('it was made');
}

test('is made, and found again by its own user', () => {
  makeSystemFolder(dir);
  mkdirSync(join(dir, 'secrets'));
  makeSystemFolder(dir);
  expect(readdirSync(dir).toSorted()).toEqual(['data', 'log', 'run', 'secrets']);
});

test('of another user is left alone, and its owner named', () => {
  mkdirSync(join(dir, 'secrets'));
  const us = process.getuid?.() ?? 0;
  vi.spyOn(process, 'getuid').mockReturnValue(us + 1);
  const { message, help } = refusal(dir);
  expect(message).toBe(`The system in ${dir} belongs to user ${us}; this is user ${us + 1}.`);
  expect(help).toContain(`sudo -u '#${us}'`);
  expect(readdirSync(dir)).toEqual(['secrets']);
});

test('that cannot be made names the variable that chooses another', () => {
  writeFileSync(join(dir, 'file'), '');
  expect(refusal(join(dir, 'file', 'system')).help).toMatch(/^export COUNTERSIGN_DIR=/);
});

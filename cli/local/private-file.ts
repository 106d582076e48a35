// Files that only we may read, written whole or not at all.

import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

/** Replaces a file in one step: a reader sees the old content or the new, never a part. Mode 0600. */
export function writePrivate(file: string, content: string): void {
  const draft = `${file}.${randomBytes(4).toString('hex')}`;
  writeFileSync(draft, content, { mode: 0o600, flag: 'wx' });
  renameSync(draft, file);
}

/** The content of a file that is made once: what stands there, else what `make` gives. */
export function keepPrivate(file: string, make: () => string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
  }
  const content = make();
  writePrivate(file, `${content}\n`);
  return content;
}

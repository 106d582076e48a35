// Files that only we may read, written whole or not at all, and on the disk before anything depends on them: a key that
// a power cut takes along is a key to records that stay.

import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { CliError } from '#cli/output.ts';

/** Replaces a file in one step: a reader sees the old content or the new, never a part. Mode 0600. */
export function writePrivate(file: string, content: string): void {
  const draft = `${file}.${randomBytes(4).toString('hex')}`;
  synced(openSync(draft, 'wx', 0o600), (descriptor) => writeFileSync(descriptor, content));
  renameSync(draft, file);
  synced(openSync(dirname(file), 'r'));
}

function synced(descriptor: number, write: (descriptor: number) => void = () => undefined): void {
  try {
    write(descriptor);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * The content of a file that is made once: what stands there, else what `make` gives.
 * @throws CliError for an empty one: what it held cannot be made again
 */
export function keepPrivate(file: string, make: () => string): string {
  const kept = contentOf(file);
  if (kept === '') {
    throw new CliError(`${file} is empty: what it held is lost.`, {
      help: 'put it back from a backup, or remove the whole folder .countersign to begin anew',
    });
  }
  if (kept !== undefined) return kept;
  const content = make();
  writePrivate(file, `${content}\n`);
  return content;
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
    return undefined;
  }
}

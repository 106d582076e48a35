// A Python environment with packages from PyPI, made once for each list of packages and kept in the user's cache.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { sha256 } from '#contracts/record.ts';

const run = promisify(execFile);
const INSTALL_MS_MAX = 100_000;

/** Path of its python, or what is missing. */
export async function pythonWith(
  packages: readonly string[],
): Promise<{ readonly python: string } | { readonly missing: string }> {
  const name = `python-${sha256(packages.join('\n')).slice(7, 19)}`;
  const folder = join(homedir(), '.cache', 'countersign', name);
  const python = join(folder, 'bin', 'python');
  if (existsSync(python)) return { python };
  // A virtual environment knows its own place, so a half-made one is known by the mark that it lacks.
  const made = `${folder}.${process.pid}`;
  try {
    await mkdir(join(folder, '..'), { recursive: true });
    await run('python3', ['-m', 'venv', '--copies', made], { timeout: INSTALL_MS_MAX });
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages];
    await run(join(made, 'bin', 'python'), pip, { timeout: INSTALL_MS_MAX });
    await rename(made, folder).catch(() => undefined); // somebody else was first
    return { python };
  } catch (error) {
    return { missing: error instanceof Error ? (error.message.split('\n')[0] ?? '') : '' };
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}

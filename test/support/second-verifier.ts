// The second verifier, in Go and on another implementation of the tree (second-verifier/main.go). A machine without Go or
// network cannot build it: the tests then say loudly that they were left out.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SOURCES = join(import.meta.dirname, 'second-verifier');
const BUILD_MS_MAX = 300_000;

/** What it says of each folder: intact, tampered or incomplete, by folder. */
export type SecondVerifier = (folders: readonly string[]) => Promise<ReadonlyMap<string, string>>;

/** Undefined, with the reason on standard error, where it cannot be had. */
export async function secondVerifier(): Promise<SecondVerifier | undefined> {
  const program = await built();
  if (program === undefined) return undefined;
  return async (folders) => {
    const { stdout } = await run(program, [...folders], { maxBuffer: 16 * 1024 * 1024 });
    const lines = stdout.split('\n').filter((line) => line !== '');
    return new Map(lines.map((line) => line.split(' ', 2) as [string, string]));
  };
}

async function built(): Promise<string | undefined> {
  const sources = await Promise.all(
    ['main.go', 'go.mod', 'go.sum'].map((name) => readFile(join(SOURCES, name))),
  );
  const digest = createHash('sha256').update(Buffer.concat(sources)).digest('hex').slice(0, 16);
  const cache = join(homedir(), '.cache', 'countersign', 'bin');
  const target = join(cache, `second-verifier-${digest}`);
  if (
    await access(target).then(
      () => true,
      () => false,
    )
  )
    return target;
  const workshop = await mkdtemp(join(tmpdir(), 'second-verifier-'));
  try {
    await cp(SOURCES, workshop, { recursive: true });
    await run('go', ['build', '-o', 'built', '.'], { cwd: workshop, timeout: BUILD_MS_MAX });
    await mkdir(cache, { recursive: true });
    await rename(join(workshop, 'built'), target).catch(async () =>
      cp(join(workshop, 'built'), target),
    );
    return target;
  } catch (error) {
    console.error(`LEFT OUT: the second verifier cannot be built here: ${String(error)}`);
    return undefined;
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}

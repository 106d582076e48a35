// The witness and the client of transparency-dev, built once from the module proxy (foreign-witness/main.go). A machine
// without Go or network cannot build them: the tests then say loudly that they were left out.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SOURCES = join(import.meta.dirname, 'foreign-witness');
const BUILD_MS_MAX = 300_000;

/** The newest tagged merkle lacks one function, which only a kind of signing that is off here would call. */
const SUBTREE = `package proof

import (
	"errors"

	"github.com/transparency-dev/merkle"
)

func VerifySubtreeConsistency(_ merkle.LogHasher, _, _, _ uint64, _ [][]byte, _, _ []byte) error {
	return errors.New("not in this version")
}
`;

/** Path of the program; undefined, with the reason on standard error, where it cannot be had. */
export async function foreignWitness(): Promise<string | undefined> {
  const sources = await Promise.all(
    ['main.go', 'go.mod', 'go.sum'].map((name) => readFile(join(SOURCES, name))),
  );
  const digest = createHash('sha256').update(Buffer.concat(sources)).update(SUBTREE);
  const cache = join(homedir(), '.cache', 'countersign', 'bin');
  const target = join(cache, `foreign-witness-${digest.digest('hex').slice(0, 16)}`);
  if (await exists(target)) return target;
  const workshop = await mkdtemp(join(tmpdir(), 'foreign-witness-'));
  try {
    await cp(SOURCES, workshop, { recursive: true });
    const go = async (...args: readonly string[]) =>
      run('go', [...args], { cwd: workshop, timeout: BUILD_MS_MAX });
    await go('mod', 'vendor');
    await writeFile(
      join(workshop, 'vendor/github.com/transparency-dev/merkle/proof/subtree.go'),
      SUBTREE,
    );
    await go('build', '-mod=vendor', '-o', 'built', '.');
    await mkdir(cache, { recursive: true });
    await rename(join(workshop, 'built'), target).catch(() => cp(join(workshop, 'built'), target));
    return target;
  } catch (error) {
    console.error(`LEFT OUT: no foreign witness can be built here: ${String(error)}`);
    return undefined;
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}

export interface ForeignWitness {
  readonly vkey: string;
  readonly url: string;
  readonly stop: () => void;
}

/** Starts it for one log, on a port of its choice. */
export async function startForeignWitness(program: string, log: string): Promise<ForeignWitness> {
  const child: ChildProcess = spawn(program, ['witness', log], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  if (child.stdout === null) throw new Error('the foreign witness has no output');
  for await (const line of createInterface(child.stdout)) {
    const [vkey = '', url = ''] = line.split(' ');
    return { vkey, url, stop: () => void child.kill() };
  }
  throw new Error('the foreign witness ended');
}

const exists = async (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

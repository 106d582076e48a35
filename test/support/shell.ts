// A folder that looks like a checkout to whoever pastes commands into it, but keeps what they write to itself.

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { CHECKOUT } from '#cli/local/places.ts';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Shell {
  readonly dir: string;
  /** Runs lines in bash; variables and functions stay for the next ones. */
  readonly run: (lines: string) => Promise<Ran>;
  readonly close: () => Promise<void>;
}

const STATE = 'shell-state';

/** @param system folder of the running system, seen as `.countersign` */
export async function openShell(system: string): Promise<Shell> {
  const dir = await mkdtemp(join(tmpdir(), 'countersign-shell-'));
  for (const name of await readdir(CHECKOUT)) {
    if (!name.startsWith('.')) await symlink(join(CHECKOUT, name), join(dir, name));
  }
  await symlink(system, join(dir, '.countersign'));
  await writeFile(join(dir, STATE), '');
  const env = { ...process.env, COUNTERSIGN_DIR: system, NO_COLOR: '1' };
  return {
    dir,
    run: (lines) =>
      new Promise((resolve) => {
        const script = `source ${STATE}\nset -e\n${lines}\n{ export -p; declare -f; } > ${STATE}`;
        execFile('bash', ['-c', script], { cwd: dir, env }, (error, stdout, stderr) => {
          resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
        });
      }),
    close: () => rm(dir, { recursive: true, force: true }),
  };
}

/**
 * Lines that fail unless each command shows the words that the comment behind it promises.
 * @param promise matches the comment up to the words
 */
export function heldTo(lines: string, promise = /\s+# shows: (.*)$/gm): string {
  const check =
    'shown() { local out; out=$(cat); for word in "$@"; do case $out in *"$word"*) ;; ' +
    '*) printf "%s\\nlacks %s\\n" "$out" "$word" >&2; return 1;; esac; done; }\n';
  const quoted = (words: string): string =>
    words
      .trim()
      .split(/\s+/)
      .map((word) => `'${word}'`)
      .join(' ');
  return check + lines.replaceAll(promise, (_, words: string) => ` | shown ${quoted(words)}`);
}

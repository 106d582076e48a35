// Postgres refuses to run as root. Under root it runs as `postgres` if that user exists, else as `nobody`:
// no user is created on anybody's machine.

import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { CliError } from '#cli/output.ts';

import { hasSetpriv } from './process.ts';

export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** `setpriv` options that turn root into this account. */
  readonly privileges: readonly string[];
}

/** Capability numbers of linux/capability.h with the names that setpriv knows. */
const PATH_CAPABILITIES = [
  [2, 'dac_read_search'],
  [1, 'dac_override'],
] as const;

/** The account for Postgres, undefined when we are an ordinary user and it simply runs as us. */
export async function postgresAccount(paths: readonly string[]): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  if (!hasSetpriv()) {
    throw new CliError(
      'Postgres does not run as root, and `setpriv` to change the user is missing.',
      {
        help: 'run this as an ordinary user, or install util-linux',
      },
    );
  }
  const { uid, gid } = await unprivilegedUser();
  const drop = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
  const hidden = await firstHidden(paths);
  if (hidden === undefined) return { uid, gid, privileges: drop };
  return { uid, gid, privileges: [...drop, ...(await lookupPrivileges(hidden))] };
}

async function unprivilegedUser(): Promise<{ uid: number; gid: number }> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const entry =
    lines.find(([name]) => name === 'postgres') ?? lines.find(([name]) => name === 'nobody');
  if (entry === undefined) {
    throw new CliError(
      'Postgres does not run as root, and there is neither user postgres nor nobody.',
      {
        help: 'run this as an ordinary user',
      },
    );
  }
  return { uid: Number(entry[2]), gid: Number(entry[3]) };
}

/** The first folder above one of the paths that others may not enter, such as /root. What is not there yet will be ours. */
async function firstHidden(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      const mode = await stat(folder).then(
        (found) => found.mode,
        () => 0o755,
      );
      if ((mode & 0o001) === 0) return folder;
      if (folder === dirname(folder)) break;
    }
  }
  return undefined;
}

/**
 * A checkout below a closed folder: Postgres keeps the one capability that lets it walk the path.
 * `no_setuid_fixup` because initdb asks access(2), which otherwise looks without capabilities.
 */
async function lookupPrivileges(hidden: string): Promise<string[]> {
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const capability = PATH_CAPABILITIES.find(([bit]) => ((effective >> BigInt(bit)) & 1n) === 1n);
  if (capability === undefined) {
    throw new CliError(`Postgres does not run as root, and other users may not enter ${hidden}.`, {
      help: `move the checkout to a place others may enter, or chmod o+x ${hidden}`,
    });
  }
  return [
    `--inh-caps=-all,+${capability[1]}`,
    `--ambient-caps=-all,+${capability[1]}`,
    '--securebits=+no_setuid_fixup',
  ];
}

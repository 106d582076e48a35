// Tells whether a recorded process still is the one that was recorded: a pid alone is used again by the system.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A process as recorded in run state; `startedAt` is an opaque text that never changes while it lives. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startedAt: string;
}

/** The identity of a living process, undefined when there is none (or only a zombie). */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const startedAt = process.platform === 'linux' ? await linuxStart(pid) : await psStart(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

/** True while exactly the recorded process lives. */
export async function isAlive(recorded: ProcessIdentity): Promise<boolean> {
  return (await identify(recorded.pid))?.startedAt === recorded.startedAt;
}

/** Field 22 of /proc/<pid>/stat: clock ticks since boot, made unique over boots by the boot id. */
async function linuxStart(pid: number): Promise<string | undefined> {
  try {
    const [stat, boot] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
    ]);
    // The command name (field 2) may hold spaces and brackets: count from behind its last bracket.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : `${boot.trim()}:${fields[19]}`;
  } catch {
    return undefined;
  }
}

async function psStart(pid: number): Promise<string | undefined> {
  const startedAt = await ps('lstart=', pid);
  return startedAt === '' ? undefined : startedAt;
}

/** The command line of a process, empty when there is none. */
export async function commandOf(pid: number): Promise<string> {
  // A minimal Debian has no `ps`, so Linux is asked directly.
  if (process.platform !== 'linux') return ps('args=', pid);
  return readFile(`/proc/${pid}/cmdline`, 'utf8').then(
    (text) => text.replaceAll('\0', ' ').trim(),
    () => '',
  );
}

async function ps(column: string, pid: number): Promise<string> {
  return run('ps', ['-o', column, '-p', String(pid)]).then(
    ({ stdout }) => stdout.trim(),
    () => '',
  );
}

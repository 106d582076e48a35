// What processes take of the machine, read from /proc: CPU time and memory, of a process with all its descendants.

import { readdirSync, readFileSync } from 'node:fs';

export type Pids = Readonly<Record<string, number>>;

/** Clock ticks of /proc/<pid>/stat a second: fixed in the kernel's interface to user space. */
const TICKS_PER_SECOND = 100;

interface Stat {
  readonly parent: number;
  readonly cpuMs: number;
}

/** What stands behind the name in parentheses, which may hold anything. */
function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [user, system] = [Number(fields[11]), Number(fields[12])];
    return { parent: Number(fields[1]), cpuMs: ((user + system) * 1_000) / TICKS_PER_SECOND };
  } catch {
    return undefined; // ended meanwhile
  }
}

function familyOf(root: number, stats: ReadonlyMap<number, Stat>): number[] {
  const family = [root];
  for (const member of family) {
    for (const [pid, { parent }] of stats) if (parent === member) family.push(pid);
  }
  return family;
}

function allStats(): Map<number, Stat> {
  const stats = new Map<number, Stat>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const stat = Number.isInteger(pid) ? statOf(pid) : undefined;
    if (stat !== undefined) stats.set(pid, stat);
  }
  return stats;
}

/** User and system time so far, in milliseconds, by name. */
export function cpuOf(pids: Pids): Record<string, number> {
  const stats = allStats();
  return Object.fromEntries(
    Object.entries(pids).map(([name, pid]) => [
      name,
      familyOf(pid, stats).reduce((sum, member) => sum + (stats.get(member)?.cpuMs ?? 0), 0),
    ]),
  );
}

export interface Memory {
  /** Now and at its highest, in MB (10^6 bytes). */
  readonly rss: number;
  readonly peak: number;
}

/** Resident memory by name. Pages that members of a family share are counted in each of them. */
export function memoryOf(pids: Pids): Record<string, Memory> {
  const stats = allStats();
  return Object.fromEntries(
    Object.entries(pids).map(([name, pid]) => {
      const family = familyOf(pid, stats);
      const sum = (field: string) =>
        family.reduce((all, member) => all + kilobytes(member, field), 0) * 0.001024;
      return [name, { rss: sum('VmRSS'), peak: sum('VmHWM') }];
    }),
  );
}

function kilobytes(pid: number, field: string): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

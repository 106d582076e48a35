// A power cut, simulated: the system's data lies on an ext4 image, the broker and the database stand still, and the
// image is copied without a flush. What the copy holds after its journal is replayed is what a disk would hold; what
// was only in memory is gone. Needs root for the loop device.

import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { placesIn } from '#cli/local/places.ts';

const run = promisify(execFile);

/** A file system in an image file, mounted at `dir`. */
export interface Disk {
  readonly dir: string;
  /** Mounts what the disk would hold if the power went now. The processes that write MUST stand still. */
  readonly cut: (name: string) => Promise<Disk>;
  /** Writes everything, as a quiet minute would. */
  readonly flush: () => Promise<void>;
  readonly remove: () => Promise<void>;
}

/** Why no power can be cut here; empty = it can. */
export async function whyNoPowerCut(): Promise<string> {
  if (process.platform !== 'linux') return 'loop devices are of Linux';
  if (process.getuid?.() !== 0) return 'mounting an image needs root';
  const missing: string[] = [];
  for (const tool of ['mkfs.ext4', 'mount', 'umount', 'losetup'])
    await run('which', [tool]).catch(() => missing.push(tool));
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
  return run('losetup', ['--find']).then(
    () => '',
    () => 'there is no free loop device',
  );
}

/** @param folder where image files and mount points are made */
export async function makeDisk(folder: string, sizeMiB: number): Promise<Disk> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const image = join(folder, 'disk.img');
  await run('truncate', ['-s', `${sizeMiB}M`, image]);
  await run('mkfs.ext4', ['-q', '-F', image]);
  return mounted(folder, 'disk');
}

async function mounted(folder: string, name: string): Promise<Disk> {
  const image = join(folder, `${name}.img`);
  const point = join(folder, name);
  await mkdir(point, { recursive: true, mode: 0o755 });
  // Nothing is written by the clock while an image is copied; what a process syncs is written at once all the same.
  await run('mount', ['-o', 'loop,commit=300', image, point]);
  return {
    dir: join(point, 'system'),
    cut: async (copy) => {
      await run('cp', ['--sparse=always', image, join(folder, `${copy}.img`)]);
      return mounted(folder, copy);
    },
    flush: async () => void (await run('sync', ['--file-system', point])),
    remove: async () => {
      await run('umount', [point]).catch(() => run('umount', ['--lazy', point]));
      await rm(image, { force: true });
      await rm(point, { recursive: true, force: true });
    },
  };
}

/** Stops processes with all their children where they are; gives what lets them go on. */
export async function standStill(pids: readonly number[]): Promise<() => void> {
  const { stdout } = await run('ps', ['-eo', 'pid=,ppid=']);
  const parents = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/ +/).map(Number) as [number, number]);
  const all = new Set(pids);
  // A child is younger than its parent, but its number may be lower: until nothing is new.
  for (let before = 0; before !== all.size;) {
    before = all.size;
    for (const [pid, parent] of parents) if (all.has(parent)) all.add(pid);
  }
  const signal = (name: NodeJS.Signals) => {
    for (const pid of all) {
      try {
        process.kill(pid, name);
      } catch {
        all.delete(pid); // ended meanwhile
      }
    }
  };
  signal('SIGSTOP');
  return () => signal('SIGCONT');
}

/** After a real cut no process of before is alive. Here they are, and must not be taken for leftovers of the copy. */
export async function forgetProcesses(dir: string): Promise<void> {
  const { run: state, data } = placesIn(dir);
  await rm(state, { recursive: true, force: true });
  await rm(join(data, 'postgres', 'data', 'postmaster.pid'), { force: true });
}

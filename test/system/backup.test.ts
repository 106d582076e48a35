// A backup of a stopped system, what keeps it from being restored wrongly, and what a witness says of an old one.

import { appendFile, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, it, vi } from 'vitest';

import { seedDemo } from '#cli/demo/seed.ts';
import { type RunningSystem, startSystem } from '#cli/local/system.ts';
import { runCommand } from '#test/support/command-line.ts';

let folder: string;
let dir: string;
let system: RunningSystem | undefined;
const old = () => join(folder, 'old');

async function up(): Promise<RunningSystem> {
  system = await startSystem({ dir, ports: 'any', seed: seedDemo });
  return system;
}
async function down(): Promise<void> {
  await system?.stop();
  system = undefined;
}

const countersign = async (...args: readonly string[]) => {
  const { code, stdout, stderr } = await runCommand({ COUNTERSIGN_DIR: dir }, args);
  return { code, text: stdout + stderr };
};
const verified = async () => (await countersign('audit', 'verify')).text.split('\n')[0];
const call = () => countersign('call', 'lookup_order', '{"order_id":"ord_1001"}');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-backup-'));
  dir = join(folder, 'system');
});
afterAll(async () => {
  await down();
  await rm(folder, { recursive: true, force: true });
});

it('is taken of a stopped system only, and told by its witness once newer records were seen', async () => {
  await up();
  await call();
  expect(await countersign('backup', old())).toMatchObject({
    code: 3,
    text: expect.stringContaining('npm run down'),
  });
  await down();
  expect(await countersign('backup', old())).toMatchObject({ code: 0 });

  await up();
  const rowsAtBackup = await verified();
  await call();
  await call();
  await vi.waitFor(async () => expect(await verified()).not.toBe(rowsAtBackup), 20_000);
  await vi.waitFor(async () => {
    const { text } = await countersign('status');
    expect(text).toMatch(/witnessing {2}local \(tree of/);
  }, 20_000);
  await down();

  expect(await countersign('restore', old())).toMatchObject({
    code: 2,
    text: expect.stringContaining('empty place'),
  });
  await rename(join(dir, 'data'), join(folder, 'lost'));
  expect(await countersign('restore', old())).toMatchObject({ code: 0 });

  await up();
  expect(await verified()).toBe(rowsAtBackup);
  await vi.waitFor(async () => {
    const { text } = await countersign('status');
    expect(text).toContain('this database is older than what was witnessed');
  }, 20_000);
  expect((await call()).code).toBe(0);
  await down();
});

it('goes nowhere without the keys that its records were signed with', async () => {
  const own = dir;
  dir = join(folder, 'elsewhere');
  const without = await countersign('restore', old());
  dir = own;
  expect(without).toMatchObject({ code: 3, text: expect.stringContaining('holds no secrets') });
});

it('with a file that is not what it was is not restored', async () => {
  await appendFile(join(old(), 'witness.policy'), '\n');
  const { code, text } = await countersign('restore', old(), '--check');
  expect([code, text]).toEqual([1, expect.stringContaining('witness.policy')]);
});

// The format says enough for somebody else: a verifier in Go, on Go's own tree and notes, says of every export what ours says,
// of the kept ones (test/vectors/exports), of honest ones and of tampered ones.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

import { exportFiles } from '#cli/export-folder.ts';
import { CHECKOUT } from '#cli/local/places.ts';
import { showVerifierKey } from '#contracts/note.ts';
import { verifyExport } from '#contracts/verify-export.ts';
import { parseWitnessPolicy, type WitnessPolicy } from '#contracts/witness-policy.ts';
import { openCheckpoint } from '#contracts/witnessed.ts';
import type { Files } from '#test/support/owned-log.ts';
import { secondVerifier } from '#test/support/second-verifier.ts';
import { FILES } from '#test/support/tampering/files.ts';
import { HONEST } from '#test/support/tampering/honest.ts';
import { OWNER } from '#test/support/tampering/owner.ts';
import { past, verify } from '#test/support/tampering/past.ts';

const run = promisify(execFile);
const second = await secondVerifier();

function policyText({ logs, witnesses }: WitnessPolicy): string {
  const lines = [
    ...logs.map(({ key }) => `log ${showVerifierKey(key)}`),
    ...witnesses.map(({ name, key }) => `witness ${name} ${showVerifierKey(key)}`),
  ];
  return [...lines, 'quorum w', ''].join('\n');
}

async function write(folder: string, files: Files | ReadonlyMap<string, string>): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, text] of files) await writeFile(join(folder, name), text);
}

test.skipIf(second === undefined)('says of each what ours says', { timeout: 120_000 }, async () => {
  const home = await mkdtemp(join(tmpdir(), 'countersign-exports-'));
  const ours = new Map<string, string>();
  const cases = [...FILES, ...OWNER, ...HONEST];
  for (const [at, [name, made]] of cases.entries()) {
    const p = past();
    const folder = join(home, String(at));
    const kept = p.log.checkpoint(p.size);
    const files = made(p);
    await write(folder, files);
    await write(
      folder,
      new Map([
        ['policy', policyText(p.policy)],
        ['against.note', kept],
      ]),
    );
    ours.set(name, (await verify(p, files)).verdict);
  }
  const theirs = await second!(cases.map((_, at) => join(home, String(at))));
  const said = new Map(cases.map(([name], at) => [name, theirs.get(join(home, String(at)))]));
  expect(Object.fromEntries(said)).toEqual(Object.fromEntries(ours));
  await rm(home, { recursive: true });
});

const KEPT = join(import.meta.dirname, '../../vectors/exports');
const kept = await readdir(KEPT);

test(
  'the verifier in one file says the same, with nothing of ours beside it',
  { timeout: 120_000 },
  async () => {
    const home = await mkdtemp(join(tmpdir(), 'countersign-verifier-'));
    const file = join(home, 'countersign-verify.mjs');
    await run('npm', ['run', '--silent', 'verifier', '--', '--file', file], { cwd: CHECKOUT });
    const said = await Promise.all(
      kept.map(async (name) => {
        const folder = join(KEPT, name);
        const args = ['--export', folder, '--policy', join(folder, 'policy'), '--json'];
        const against = ['--against', join(folder, 'against.note')];
        const ran = await run(process.execPath, [file, ...args, ...against], { cwd: home }).catch(
          (error: unknown) => error as { stdout: string },
        );
        return (JSON.parse(ran.stdout) as { verdict: string }).verdict;
      }),
    );
    expect(said).toEqual(kept.map((name) => name.split('-')[0]));
    await rm(home, { recursive: true });
  },
);

test.each(kept.map((name) => [name]))('the kept export %s', async (name) => {
  const folder = join(KEPT, name);
  const expected = name.split('-')[0];
  const policy = parseWitnessPolicy(await readFile(join(folder, 'policy')));
  const against = openCheckpoint(await readFile(join(folder, 'against.note'), 'utf8'), policy);
  expect((await verifyExport(exportFiles(folder), policy, against)).verdict).toBe(expected);
  if (second !== undefined) expect((await second([folder])).get(folder)).toBe(expected);
});

// What an auditor takes away from a running system, by the command line, and what the verifier says of it.

import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { parseEntry } from '#contracts/chain.ts';
import { type ExportManifest, parseExportRow } from '#contracts/export.ts';

import { runAs } from '../support/command-line.ts';
import { type Live, startLive } from '../support/live.ts';

let live: Live;
let home: string;
beforeAll(async () => {
  live = await startLive();
  home = await mkdtemp(join(tmpdir(), 'countersign-export-'));
  for (let call = 0; call < 20; call += 1) {
    await live.call({ tool: 'lookup_order', arguments: { order_id: 'ord_1001' } });
    await live.call({
      tool: 'run_sql',
      arguments: { database: 'production', query: `drop ${call}` },
    });
  }
});
afterAll(async () => {
  await live?.close();
  await rm(home, { recursive: true, force: true });
});

const countersign = (...args: readonly string[]) => runAs(live)(...args);

const exportTo = (name: string, ...args: readonly string[]) =>
  countersign('audit', 'export', '--out', join(home, name), ...args);
const verify = async (name: string, ...args: readonly string[]) => {
  const policy = join(live.system.dir, 'witness.policy');
  const ran = await countersign(
    'audit',
    'verify',
    '--export',
    join(home, name),
    '--policy',
    policy,
    '--json',
    ...args,
  );
  return { code: ran.code, ...(JSON.parse(ran.stdout || '{}') as Record<string, unknown>) };
};
const manifestOf = async (name: string) =>
  JSON.parse(await readFile(join(home, name, 'manifest.json'), 'utf8')) as ExportManifest;
const rowsOf = async (name: string) =>
  (await readFile(join(home, name, 'rows.ndjson'), 'utf8'))
    .split('\n')
    .slice(0, -1)
    .map((line) => parseExportRow(line)!);

/** Exports until this many rows are under a witnessed checkpoint. */
async function exportedWhole(name: string, rows: number): Promise<void> {
  await expect
    .poll(
      async () => {
        await rm(join(home, name), { recursive: true, force: true });
        await exportTo(name);
        return (await manifestOf(name).catch(() => ({ count: 0 }))).count;
      },
      { timeout: 30_000, interval: 200 },
    )
    .toBeGreaterThanOrEqual(rows);
}

describe('an export', () => {
  test('of everything is intact, and says under whom', async () => {
    await exportedWhole('whole', 40);
    expect(await verify('whole')).toMatchObject({
      code: 0,
      verdict: 'intact',
      completeness: 'whole',
      witnesses: [{ witness: expect.any(String) as string }],
    });
  });

  test('is in the chain before its first row leaves', async () => {
    const { body } = await live.admin('GET', 'audit?kind=control.read');
    const items = body['items'] as { leaf: { action: string; by: string } }[];
    expect(items.map(({ leaf }) => [leaf.action, leaf.by])).toContainEqual(['export', 'ada']);
  });

  test('of a time, of what was blocked, with payloads and as a table is intact, also against the first', async () => {
    const kept = join(home, 'whole', 'manifest.json');
    await exportTo('hour', '--from', '1h', '--since', kept);
    expect(await verify('hour', '--against', kept)).toMatchObject({
      code: 0,
      completeness: 'range',
    });
    await exportTo(
      'blocked',
      '--verdict',
      'block',
      '--payloads',
      '--format',
      'csv',
      '--since',
      kept,
    );
    expect(await verify('blocked', '--against', kept)).toMatchObject({
      code: 0,
      completeness: 'selection',
      rows: 20,
      payloads: 0,
      masked: 20,
    });
    const verdicts = (await rowsOf('blocked')).map(
      ({ entry }) => (parseEntry(entry)!.body as { verdict?: string }).verdict,
    );
    expect(new Set(verdicts)).toEqual(new Set(['block']));
  });

  test('that broke off goes on under the same checkpoint', async () => {
    const { count } = await manifestOf('whole');
    await exportTo('broken');
    const manifest = await manifestOf('broken');
    const rows = (await readFile(join(home, 'broken', 'rows.ndjson'), 'utf8')).split('\n');
    // As the command leaves it when it is killed in the middle of row 11.
    const { count: _, files: __, ...header } = manifest;
    await writeFile(join(home, 'broken', 'manifest.part.json'), JSON.stringify(header));
    await rm(join(home, 'broken', 'manifest.json'));
    await writeFile(
      join(home, 'broken', 'rows.ndjson'),
      rows.slice(0, 10).join('\n').concat('\n', rows[10]!.slice(0, 50)),
    );
    await live.call({ tool: 'lookup_order', arguments: { order_id: 'ord_1001' } });
    expect(await exportTo('broken')).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('going on behind row 10') as string,
    });
    expect(await manifestOf('broken')).toEqual(manifest);
    expect(manifest.count).toBeGreaterThanOrEqual(count);
    expect(await verify('broken')).toMatchObject({ code: 0 });
  });

  test('that was changed, cut or believed by nobody is told apart by the exit code', async () => {
    const rows = join(home, 'whole', 'rows.ndjson');
    const whole = await readFile(rows, 'utf8');
    await writeFile(rows, whole.replace('run_sql', 'run_sqk'));
    expect(await verify('whole')).toMatchObject({
      code: 1,
      finding: { kind: 'hash_wrong', file: 'rows.ndjson' },
    });
    await writeFile(rows, whole.split('\n').slice(0, -2).join('\n').concat('\n'));
    expect(await verify('whole')).toMatchObject({
      code: 4,
      finding: { kind: 'rows_missing_at_end' },
    });
    await writeFile(rows, whole);
    const other =
      'log other.example/log+c7c3db6b+Ab4Yb8ODBJjyqKXk4EHPkgwuFtPBcDDMCIAMhh/r2KYS\nquorum none\n';
    await writeFile(join(home, 'other.policy'), other);
    const args = ['--export', join(home, 'whole'), '--policy', join(home, 'other.policy')];
    expect((await countersign('audit', 'verify', ...args)).code).not.toBe(0);
    await appendFile(rows, 'x\n');
    expect(await verify('whole')).toMatchObject({ code: 1, finding: { kind: 'row_malformed' } });
  });

  test('is not for a viewer with payloads, and not into a folder that holds one', async () => {
    expect(await exportTo('whole')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('finished export') as string,
    });
    expect((await countersign('audit', 'verify', '--export', join(home, 'whole'))).code).toBe(2);
  });
});

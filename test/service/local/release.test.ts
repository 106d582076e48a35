import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { create } from 'tar';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { downloadRelease } from '#cli/local/release.ts';

const files = new Map<string, Buffer>();
let server: Server;
let base: string;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-release-'));
  server = createServer((request, response) => {
    const file = files.get(request.url ?? '');
    response.writeHead(file === undefined ? 404 : 200).end(file);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  await mkdir(join(folder, 'nats-v1'));
  await writeFile(join(folder, 'nats-v1', 'nats'), 'the program');
  await create({ file: join(folder, 'nats.tar.gz'), gzip: true, cwd: folder }, ['nats-v1']);
  files.set('/nats.tar.gz', await readFile(join(folder, 'nats.tar.gz')));
  files.set('/opa', Buffer.from('the other program'));
  const line = (name: string): string =>
    `${createHash('sha256')
      .update(files.get(`/${name}`)!)
      .digest('hex')}  ${name}\n`;
  files.set('/SUMS', Buffer.from(line('nats.tar.gz') + line('opa')));
  files.set('/FALSE', Buffer.from(`${'0'.repeat(64)}  opa\n`));
  files.set('/OTHERS', Buffer.from(line('opa').replace('opa', 'opa.exe')));
});

afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true, force: true });
});

const download = async (name: string, sums: string, member?: string): Promise<string> => {
  const into = await mkdtemp(join(folder, 'into-'));
  const release = { url: `${base}/${name}`, checksumUrl: `${base}/${sums}` };
  const file = await downloadRelease(member === undefined ? release : { ...release, member }, into);
  return readFile(file, 'utf8');
};

test('a program in an archive is unpacked', async () => {
  expect(await download('nats.tar.gz', 'SUMS', 'nats-v1/nats')).toBe('the program');
});

test('a bare program is taken as it is', async () => {
  expect(await download('opa', 'SUMS')).toBe('the other program');
});

test.each([
  ['another digest', 'opa', 'FALSE', /has SHA-256 .*, its release says 0{64}/],
  ['no digest for this file', 'opa', 'OTHERS', /the checksum file does not name opa/],
  ['no checksum file', 'opa', 'NONE', /answered 404/],
  ['no such file', 'nats', 'SUMS', /the checksum file does not name nats/],
])('refused: %s', async (_name, file, sums, message) => {
  await expect(download(file, sums)).rejects.toThrow(message);
});

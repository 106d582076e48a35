// Downloads one file of a release and believes it only when its SHA-256 is in the release's checksum file.

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { extract } from 'tar';

import type { Release } from './binary-versions.ts';

const DOWNLOAD_MS_MAX = 300_000;

/** Gives the path of the verified program below `folder`. Throws when it cannot be had or does not match. */
export async function downloadRelease(
  release: Release,
  folder: string,
  giveUp: AbortSignal = new AbortController().signal,
): Promise<string> {
  const get = (url: string): Promise<Response> => fetchOk(url, giveUp);
  const name = basename(release.url);
  const expected = checksumOf(name, await (await get(release.checksumUrl)).text());
  const file = join(folder, name);
  const body = (await get(release.url)).body;
  if (body === null) throw new Error(`${release.url} has no content`);
  await pipeline(Readable.fromWeb(body), createWriteStream(file));
  const actual = await sha256(file);
  if (actual !== expected) {
    throw new Error(`${name} has SHA-256 ${actual}, its release says ${expected}`);
  }
  if (release.member === undefined) return file;
  await extract({ file, cwd: folder }, [release.member]);
  return join(folder, release.member);
}

/** The digest that a checksum file (`<hex>  <name>` lines) gives for a name. */
function checksumOf(name: string, checksums: string): string {
  for (const line of checksums.split('\n')) {
    const [digest, file] = line.trim().split(/\s+\*?/);
    if (file === name && /^[0-9a-f]{64}$/.test(digest ?? '')) return digest ?? '';
  }
  throw new Error(`the checksum file does not name ${name}`);
}

async function fetchOk(url: string, giveUp: AbortSignal): Promise<Response> {
  const signal = AbortSignal.any([giveUp, AbortSignal.timeout(DOWNLOAD_MS_MAX)]);
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

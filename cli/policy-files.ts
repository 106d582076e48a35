// Policies on disk: a folder of Rego, data and facts, one Rego file, or an archive of them.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

import { CliError, EXIT } from './output.ts';

export type PolicyFiles = Readonly<Record<string, string>>;

/** What a policy may consist of; anything else in a folder stays there. */
const PART = /(\.rego|\.md|(^|\/)data\.(json|ya?ml)|^facts\.json|^\.manifest|^LICENSE)$/;
/** What somebody may take for data: the build says that it is none. */
const LIKE_DATA = /\.(json|ya?ml)$/;
const LIKE_DATA_BYTES_MAX = 16 * 1024;
/** Of editors, version control and packages. */
const ELSEWHERE = /(^|\/)(\.[^/]*|node_modules)\//;
const ARCHIVE = /\.(tar|tar\.gz|tgz)$/;
const FILES_MAX = 1_000;

/** The files of a policy by path. Throws CliError. */
export async function readPolicy(place: string): Promise<PolicyFiles> {
  try {
    if (statSync(place).isDirectory()) return folder(place);
    if (ARCHIVE.test(place)) return await archive(place);
    return { [basename(place)]: readFileSync(place, 'utf8') };
  } catch (cause) {
    if (cause instanceof CliError) throw cause;
    throw new CliError(`${place} cannot be read.`, { exitCode: EXIT.misuse, cause });
  }
}

function folder(place: string): PolicyFiles {
  const files: Record<string, string> = {};
  const entries = readdirSync(place, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    const file = join(entry.parentPath, entry.name);
    const path = file
      .slice(join(place, '.').length + (place.endsWith('/') ? 0 : 1))
      .replaceAll('\\', '/');
    if (!entry.isFile() || ELSEWHERE.test(path)) continue;
    const likeData =
      LIKE_DATA.test(path) && !/(^|\/)\./.test(path) && statSync(file).size <= LIKE_DATA_BYTES_MAX;
    if (PART.test(path) || likeData) files[path] = readFileSync(file, 'utf8');
  }
  if (Object.keys(files).length > FILES_MAX) {
    throw new CliError(`${place} holds too many files for a policy.`, { exitCode: EXIT.misuse });
  }
  return files;
}

async function archive(place: string): Promise<PolicyFiles> {
  const { unpackTarball } = await import('#policies/engine/tarball.ts');
  const unpacked = await unpackTarball(readFileSync(place));
  if (unpacked.ok) return unpacked.files;
  throw new CliError(`${place} is no archive of a policy: ${unpacked.findings[0]?.message ?? ''}`);
}

/** True for a policy that is written for the floor. */
export const isFloor = (files: PolicyFiles): boolean =>
  Object.values(files).some((text) => /^package countersign\.floor\s*$/m.test(text));

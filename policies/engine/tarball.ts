/** Reads tarballs: what somebody sends as a policy, and what `opa build` writes. */
import { gunzipSync } from 'node:zlib';

import { Parser, type ReadEntry } from 'tar';

import { BUNDLE_LIMITS } from './bundle.ts';
import { errorIn, type Finding } from './findings.ts';

export type Unpacked =
  | { readonly ok: true; readonly files: Readonly<Record<string, string>> }
  | { readonly ok: false; readonly findings: readonly Finding[] };

interface Entry {
  readonly path: string;
  readonly type: string;
  readonly bytes: Buffer;
}

const ORDINARY: ReadonlySet<string> = new Set(['File', 'OldFile', 'ContiguousFile']);
/** Headers and padding take at most 1.5 KiB a file. */
const TAR_BYTES_MAX = BUNDLE_LIMITS.sourceBytes + BUNDLE_LIMITS.dataBytes + 512 * 1024;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Path to text of a .tar or .tar.gz (untrusted). Links, devices, repeated paths and what is not UTF-8 are
 * findings; whether the paths themselves will do is judged with all other sources. A leading "./" or "/" is
 * dropped, as `opa build` writes it, and so is the folder that holds everything.
 */
export async function unpackTarball(bytes: Uint8Array): Promise<Unpacked> {
  let entries: readonly Entry[];
  try {
    entries = await readTar(bytes, TAR_BYTES_MAX);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'unknown fault';
    return { ok: false, findings: [errorIn('', 'bundle.tarball', `not a tarball: ${why}`)] };
  }
  const files = new Map<string, string>();
  const findings: Finding[] = [];
  for (const { path: stated, type, bytes: content } of entries) {
    const path = stated.replace(/^\.?\//, '');
    const refuse = (message: string) => findings.push(errorIn(path, 'bundle.tarball', message));
    if (path === 'policy.wasm') refuse(COMPILED);
    if (LEFT_OUT.test(path)) continue;
    if (type === 'Directory') continue;
    if (!ORDINARY.has(type)) refuse(`${type} is not a plain file`);
    if (files.has(path)) refuse('this path stands twice');
    try {
      files.set(path, utf8.decode(content));
    } catch {
      refuse('not UTF-8 text');
    }
  }
  return findings.length > 0
    ? { ok: false, findings }
    : { ok: true, files: withoutTopFolder(Object.fromEntries(files)) };
}

/** What opa has compiled it takes out of the sources. */
const COMPILED =
  'made by "opa build --target wasm", which leaves rules out: send the sources, or build without a target';

/** What `opa build` adds to the sources, and hidden files as of editors and version control. */
const LEFT_OUT = /(^|\/)\.(?!manifest$|\.)|^policy\.wasm$|^plan\.json$/;

/**
 * Files of an archive that holds one folder (`tar czf policy.tgz policy/`) as if it had been made within. Not when
 * that folder is part of the policy's own names: packages, or data that rules ask for.
 */
function withoutTopFolder(files: Readonly<Record<string, string>>): Record<string, string> {
  const tops = new Set(Object.keys(files).map((path) => /^([\w-]+)\//.exec(path)?.[1] ?? ''));
  const [top = ''] = tops;
  const named = new RegExp(`\\b(?:package\\s+|data\\.|data\\[")${top}\\b`);
  const stays =
    tops.size !== 1 || top === '' || Object.values(files).some((text) => named.test(text));
  if (stays) return { ...files };
  return Object.fromEntries(
    Object.entries(files).map(([path, text]) => [path.slice(top.length + 1), text]),
  );
}

/** Every entry of a tarball, which may be gzipped. Throws when it is none or grows beyond `bytesMax`. */
export async function readTar(bytes: Uint8Array, bytesMax: number): Promise<readonly Entry[]> {
  const gzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const tar = gzip ? gunzipSync(bytes, { maxOutputLength: bytesMax }) : bytes;
  if (tar.length > bytesMax) throw new Error(`more than ${bytesMax} bytes`);
  const entries: Entry[] = [];
  const take = (entry: ReadEntry) => {
    const chunks: Buffer[] = [];
    entry.on('data', (chunk) => chunks.push(chunk));
    entry.on('end', () =>
      entries.push({ path: entry.path, type: entry.type, bytes: Buffer.concat(chunks) }),
    );
  };
  await new Promise<void>((resolve, reject) => {
    const parser = new Parser({ strict: true, onReadEntry: take });
    parser.on('error', reject);
    parser.on('end', () => resolve());
    parser.end(Buffer.from(tar));
  });
  return entries;
}

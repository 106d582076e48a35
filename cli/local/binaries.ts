// Finds the two native programs we run, nats-server and opa, and fetches them once when they are missing.
// Order: environment variable, PATH when the version fits, our cache, then `go install` or the release file.

import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

import { CliError } from '#cli/output.ts';

import { BINARIES, parseVersion } from './binary-versions.ts';
import type { BinaryName, BinarySpec, Version } from './binary-versions.ts';
import { downloadRelease } from './release.ts';

/** Told what is being done, in one line, while something takes long. */
export type OnProgress = (line: string) => void;

const PROGRESS_INTERVAL_MS = 5_000;
/** A cold build took 31 s (nats-server) and 52 s (opa) on 2 cores; ten times that is a hang. */
const BUILD_MS_MAX = 600_000;
const VERSION_MS_MAX = 10_000;

const CHOOSE_CACHE =
  'export XDG_CACHE_HOME=FOLDER   (one that you may write to), then run this again';

const run = promisify(execFile);

/** What fetching a binary needs beside its spec. */
interface Fetching {
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

/**
 * Gives the path of a usable binary, fetching it into the cache when there is none; `signal` gives that up.
 * Throws CliError with the command that fixes it.
 */
export async function findBinary(
  name: BinaryName,
  onProgress: OnProgress = () => {},
  signal: AbortSignal = new AbortController().signal,
): Promise<string> {
  const spec = BINARIES[name];
  return (await findInstalled(spec)) ?? (await fillCache(spec, { onProgress, signal }));
}

/** Gives the path of a usable binary that is already on this machine, else undefined. Fetches nothing. */
export async function findInstalled(spec: BinarySpec): Promise<string | undefined> {
  const named = process.env[spec.variable];
  if (named !== undefined && named !== '') return checkNamed(spec, named);
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const candidate = join(folder, spec.name);
    if (folder !== '' && (await isExecutable(candidate)) && (await fits(spec, candidate))) {
      return candidate;
    }
  }
  const cached = cachePath(spec);
  return (await isExecutable(cached)) ? cached : undefined;
}

/** Where the pinned version is kept once fetched: outside node_modules, so `npm ci` does not drop it. */
export function cachePath(spec: BinarySpec): string {
  return join(cacheFolder(), `${spec.name}-${spec.pinned}`);
}

function cacheFolder(): string {
  const named = process.env['XDG_CACHE_HOME'];
  const cache = named === undefined || named === '' ? join(home(), '.cache') : named;
  return join(cache, 'countersign', 'bin');
}

function home(): string {
  try {
    return homedir();
  } catch (cause) {
    // A user that no passwd file names, as some containers have.
    throw new CliError('This user has no home folder to keep programs in.', {
      cause,
      help: CHOOSE_CACHE,
    });
  }
}

async function checkNamed(spec: BinarySpec, path: string): Promise<string> {
  const version = await versionOf(spec, path);
  if (version !== undefined && spec.accepts(version)) return path;
  const found = version === undefined ? 'which does not answer' : `version ${version.join('.')}`;
  throw new CliError(`${spec.variable} names ${path}, ${found}; needed is ${spec.acceptedText}.`, {
    help: `unset ${spec.variable}, or point it to ${spec.name} ${spec.pinned}`,
  });
}

/** Builds or downloads into a folder of its own and renames: two processes doing this at once are safe. */
async function fillCache(spec: BinarySpec, fetching: Fetching): Promise<string> {
  const target = cachePath(spec);
  const workshop = await makeWorkshop(spec);
  try {
    const fetched = await fetchInto(workshop, spec, fetching);
    await chmod(fetched, 0o755);
    if (!(await fits(spec, fetched))) {
      throw new CliError(`The fetched ${spec.name} does not report version ${spec.pinned}.`, {
        help: manualHelp(spec),
      });
    }
    await rename(fetched, target);
    fetching.onProgress(`${spec.name} ${spec.pinned} is ready in ${target}`);
    return target;
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}

async function makeWorkshop(spec: BinarySpec): Promise<string> {
  try {
    await mkdir(cacheFolder(), { recursive: true });
    return await mkdtemp(join(cacheFolder(), `.${spec.name}-`));
  } catch (cause) {
    throw new CliError(`${spec.name} cannot be kept: ${(cause as Error).message}`, {
      cause,
      help: CHOOSE_CACHE,
    });
  }
}

async function fetchInto(workshop: string, spec: BinarySpec, fetching: Fetching): Promise<string> {
  const problems: string[] = [];
  for (const way of [goInstall, fetchRelease]) {
    try {
      return await way(workshop, spec, fetching);
    } catch (error) {
      fetching.signal.throwIfAborted();
      problems.push(`${way === goInstall ? 'go install' : 'release file'}: ${lastLine(error)}`);
    }
  }
  throw new CliError(
    `${spec.name} ${spec.pinned} is missing and could not be fetched (${problems.join('; ')}).`,
    { help: manualHelp(spec) },
  );
}

async function goInstall(workshop: string, spec: BinarySpec, fetching: Fetching): Promise<string> {
  const { onProgress, signal } = fetching;
  await run('go', ['version'], { timeout: VERSION_MS_MAX }).catch((error: unknown) => {
    const absent = (error as { code?: unknown }).code === 'ENOENT';
    throw absent ? new Error('Go is not installed') : error;
  });
  await withProgress(
    `building ${spec.name} ${spec.pinned} with go install (once, about a minute)`,
    onProgress,
    () =>
      // Whatever GOFLAGS says of vendoring is meant for other modules.
      run('go', ['install', '-mod=mod', spec.goPackage], {
        env: { ...process.env, GOBIN: workshop, CGO_ENABLED: '0' },
        timeout: BUILD_MS_MAX,
        signal,
      }),
  );
  return join(workshop, spec.name);
}

async function fetchRelease(
  workshop: string,
  spec: BinarySpec,
  { onProgress, signal }: Fetching,
): Promise<string> {
  const release = spec.release(process.platform, process.arch);
  return withProgress(`downloading ${release.url}`, onProgress, () =>
    downloadRelease(release, workshop, signal),
  );
}

async function withProgress<T>(
  what: string,
  onProgress: OnProgress,
  work: () => Promise<T>,
): Promise<T> {
  const startedAt = Date.now();
  onProgress(what);
  const timer = setInterval(
    () => onProgress(`${what}: ${Math.round((Date.now() - startedAt) / 1000)} s`),
    PROGRESS_INTERVAL_MS,
  );
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

async function fits(spec: BinarySpec, path: string): Promise<boolean> {
  const version = await versionOf(spec, path);
  return version !== undefined && spec.accepts(version);
}

/** The version that a binary reports, undefined when it does not run. */
export async function versionOf(spec: BinarySpec, path: string): Promise<Version | undefined> {
  return run(path, [...spec.versionArguments], { timeout: VERSION_MS_MAX }).then(
    ({ stdout }) => parseVersion(stdout),
    () => undefined,
  );
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function manualHelp(spec: BinarySpec): string {
  return `install Go 1.21 or later (apt-get install golang-go, or https://go.dev/dl; below 1.26 with GOTOOLCHAIN=auto), or let the network reach github.com; or set ${spec.variable} to the path of ${spec.name} ${spec.pinned}`;
}

/** What a failed command or download says last, which is where Go and fetch put the cause. */
function lastLine(error: unknown): string {
  const { stderr = '', cause, message } = error as Error & { stderr?: string };
  if (stderr.trim() !== '') return stderr.trim().split('\n').at(-1) ?? '';
  return cause instanceof Error ? `${message}: ${cause.message}` : message;
}

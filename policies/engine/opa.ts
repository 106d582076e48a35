/** Runs the opa command over sources of a tenant: bounded in time, memory and output, without environment. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { PolicyRole } from '#contracts/policy.ts';

/** Where one bundle is being made. */
export interface Workplace {
  /** Path of the opa command. */
  readonly opa: string;
  /** Private and temporary; the policy is laid out in SOURCES_FOLDER below it, where opa runs. */
  readonly folder: string;
  readonly role: PolicyRole;
}

export interface OpaAnswer {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export const SOURCES_FOLDER = 'sources';
/** The input's schema, and what a build writes: beside the sources, so that no source is mistaken for them. */
export const SCHEMA_FILE = 'schema.json';
export const OUTPUT_FILE = 'out.tar.gz';

const CAPABILITIES = fileURLToPath(new URL('../capabilities.json', import.meta.url));
/** Arguments that check, test and build share. */
export const SOURCES_ARGS = ['--bundle', '.', '--capabilities', CAPABILITIES];
export const SCHEMA_ARGS = ['--schema', `../${SCHEMA_FILE}`];

/** A check takes some 60 ms, a build 80 ms; each test has 5 s of its own. */
const RUN_MS_MAX = 20_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
/** Soft for the Go runtime: it collects harder instead of growing, and the time limit ends it. */
const ENVIRONMENT = { GOMEMLIMIT: '512MiB', GOMAXPROCS: '2' };

/** The opa command could not be run, or did not end. */
export class OpaUnavailable extends Error {
  override readonly name = 'OpaUnavailable';
}

/** What `opa` said about the sources; that it refuses is an answer too. @throws OpaUnavailable */
export async function runOpa(
  { opa, folder }: Pick<Workplace, 'opa' | 'folder'>,
  args: readonly string[],
): Promise<OpaAnswer> {
  const options = {
    cwd: join(folder, SOURCES_FOLDER),
    env: ENVIRONMENT,
    timeout: RUN_MS_MAX,
    killSignal: 'SIGKILL',
    maxBuffer: OUTPUT_BYTES_MAX,
    encoding: 'utf8',
  } as const;
  return await new Promise((resolve, reject) => {
    execFile(opa, args, options, (error, stdout, stderr) => {
      if (error === null || typeof error.code === 'number') {
        resolve({ ok: error === null, stdout, stderr });
        return;
      }
      const why = error.killed === true ? `did not end within ${RUN_MS_MAX} ms` : error.message;
      reject(new OpaUnavailable(`opa ${args[0] ?? ''}: ${why}`, { cause: error }));
    });
  });
}

/** The version that an opa command states of itself. @throws OpaUnavailable */
export async function opaVersion(place: Workplace): Promise<string> {
  const { stdout } = await runOpa(place, ['version']);
  const version = /^Version: (\S+)$/m.exec(stdout)?.[1];
  if (version === undefined) throw new OpaUnavailable(`${place.opa} is no opa`);
  return version;
}

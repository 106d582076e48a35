// Credentials of upstreams: what a reference may reach. Whoever registers upstreams for one tenant must not get the
// secrets of another, or of the machine, sent to an address of their own.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Upstream } from '#contracts/control.ts';

import { createCredentials, NoCredential } from '../../../../services/ingress/mcp/credential.ts';

type Reference = NonNullable<Upstream['credential']>;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-credentials-'));
  for (const tenant of ['acme', 'acme-two', 'other']) mkdirSync(join(folder, tenant));
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  write('acme/token', 'secret\n');
  write('acme/lines', 'one\ntwo\n');
  write('acme/empty', '\n');
  write('acme/umlaut', 'schlüssel');
  write('acme/large', 'x'.repeat(65 * 1024));
  write('other/token', "other's");
  write('machine', 'of the machine');
  symlinkSync(join(folder, 'machine'), join(folder, 'acme/link'));
  symlinkSync(join(folder, 'other'), join(folder, 'acme/neighbour'));
  symlinkSync(join(folder, 'acme/token'), join(folder, 'acme/alias'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const ENVIRONMENT = {
  COUNTERSIGN_CREDENTIAL_ACME__KEY: 'acme',
  COUNTERSIGN_CREDENTIAL_ACME_TWO__KEY: 'acme-two',
  COUNTERSIGN_CREDENTIAL_ACMEuTWO__KEY: 'acme_two',
  COUNTERSIGN_CREDENTIAL_ACME__TWO__KEY: 'acme--two',
  COUNTERSIGN_CREDENTIAL_ACME___KEY: 'acme-',
  COUNTERSIGN_NATS_URL: 'of the process',
};
const headerOf = async (tenant: string, credential: Reference | undefined) => {
  const credentialOf = createCredentials({ folder, environment: ENVIRONMENT });
  const upstream: Upstream = {
    url: 'http://x',
    ...(credential === undefined ? {} : { credential }),
  };
  return credentialOf(tenant, upstream).catch((error: unknown) => {
    if (error instanceof NoCredential) return 'none' as const;
    throw error;
  });
};

describe('a credential from a file', () => {
  it.each<[string, Reference | undefined, unknown]>([
    ['is a bearer token by default', { file: 'token' }, { authorization: 'Bearer secret' }],
    [
      'stands in the header that is named',
      { file: 'token', header: 'X-Api-Key', scheme: '' },
      { 'x-api-key': 'secret' },
    ],
    [
      'is found through a link within the folder',
      { file: 'alias' },
      { authorization: 'Bearer secret' },
    ],
    ['is not looked for where none is named', undefined, {}],
    ['is not read from above the folder', { file: '../machine' }, 'none'],
    ["is not read from another tenant's folder", { file: '../other/token' }, 'none'],
    ['is not read through a link out of the folder', { file: 'link' }, 'none'],
    ['is not read through a linked folder', { file: 'neighbour/token' }, 'none'],
    ['is not read from anywhere on the machine', { file: '/etc/hostname' }, 'none'],
    ['is not the folder itself', { file: '.' }, 'none'],
    ['is not there', { file: 'nothing' }, 'none'],
    ['has one line', { file: 'lines' }, 'none'],
    ['has something in it', { file: 'empty' }, 'none'],
    ['is ASCII', { file: 'umlaut' }, 'none'],
    ['is not large', { file: 'large' }, 'none'],
    ['has no second source', { file: 'token', env: 'COUNTERSIGN_CREDENTIAL_ACME__KEY' }, 'none'],
    ['has a source', {}, 'none'],
    ['does not change where a request goes', { file: 'token', header: 'Host' }, 'none'],
    ['does not change what was mirrored', { file: 'token', header: 'Mcp-Name' }, 'none'],
    ['is no two headers', { file: 'token', header: 'A: b\r\nC' }, 'none'],
  ])('%s', async (_, credential, expected) => {
    expect(await headerOf('acme', credential)).toEqual(expected);
  });

  it('is read again when the file changes', async () => {
    const credentialOf = createCredentials({ folder, environment: {} });
    const upstream: Upstream = { url: 'http://x', credential: { file: 'changing', scheme: '' } };
    const path = join(folder, 'acme/changing');
    writeFileSync(path, 'first');
    expect(await credentialOf('acme', upstream)).toEqual({ authorization: 'first' });
    writeFileSync(path, 'second one');
    expect(await credentialOf('acme', upstream)).toEqual({ authorization: 'second one' });
    rmSync(path);
    await expect(credentialOf('acme', upstream)).rejects.toThrow(NoCredential);
  });

  it('comes from no folder where none is configured', async () => {
    const credentialOf = createCredentials({ folder: '', environment: {} });
    const upstream: Upstream = {
      url: 'http://x',
      credential: { file: join(folder, 'acme/token') },
    };
    await expect(credentialOf('acme', upstream)).rejects.toThrow(NoCredential);
  });
});

describe('a credential from the environment', () => {
  const name = (rest: string) => `COUNTERSIGN_CREDENTIAL_${rest}`;
  it.each<[string, string, string, string]>([
    ['is for its tenant', 'acme', name('ACME__KEY'), 'acme'],
    ['is for its tenant with a hyphen', 'acme-two', name('ACME_TWO__KEY'), 'acme-two'],
    ['is for its tenant with an underscore', 'acme_two', name('ACMEuTWO__KEY'), 'acme_two'],
    ['is for its tenant with two hyphens', 'acme--two', name('ACME__TWO__KEY'), 'acme--two'],
    ['is for its tenant with a hyphen at the end', 'acme-', name('ACME___KEY'), 'acme-'],
    ['is not for a tenant of a shorter name', 'acme', name('ACME__TWO__KEY'), 'none'],
    ['is not for a tenant of a shorter name by one', 'acme', name('ACME___KEY'), 'none'],
    ['is not for a tenant of a like name', 'acme_two', name('ACME_TWO__KEY'), 'none'],
    ['is not for another', 'other', name('ACME__KEY'), 'none'],
    ['is no other variable of the process', 'acme', 'COUNTERSIGN_NATS_URL', 'none'],
    ['is not there', 'acme', name('ACME__NOTHING'), 'none'],
  ])('%s', async (_, tenant, env, expected) => {
    expect(await headerOf(tenant, { env, scheme: '' })).toEqual(
      expected === 'none' ? 'none' : { authorization: expected },
    );
  });
});

// Secrets of a local system: made once at random, each in a file of its own that only we may read.

import { hash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

import type { Operator } from '#contracts/control.ts';
import { NOTE_ED25519, showSignerKey, type SignerKey } from '#contracts/note.ts';
import { permissions } from '#contracts/permissions.ts';
import { base32 } from '#contracts/totp.ts';

import { keepPrivate, writePrivate } from './private-file.ts';

/** Users of the broker: our processes, and `operator` with full rights for status, doctor and tests. */
export const NATS_USERS: readonly string[] = Object.keys(permissions());

/** Writers of stored messages (contracts/mac.ts). */
const WRITERS = [
  'ingress',
  'decision-worker',
  'audit-chainer',
  'admin',
  'approval-escalation',
  'notifier',
];

/** Login roles in Postgres: who owns the tables, and the processes that use them. */
export const DATABASE_ROLES = [
  'countersign_migrator',
  'countersign_chainer',
  'countersign_admin',
  'countersign_approvals',
  'countersign_notifier',
] as const;
export type DatabaseRole = (typeof DATABASE_ROLES)[number];

/** The two persons of the demo. */
const PERSONS: readonly Pick<Operator, 'id' | 'name' | 'roles'>[] = [
  { id: 'ada', name: 'Ada', roles: ['admin', 'operator', 'approver'] },
  { id: 'grace', name: 'Grace', roles: ['operator', 'approver'] },
];

export interface Secrets {
  readonly natsPassword: (user: string) => string;
  readonly natsPasswordFile: (user: string) => string;
  /** Seals the streams: the key, and the one before it while it is rotated. */
  readonly natsStoreKeys: readonly [newest: string, before: string];
  readonly databasePassword: (role: DatabaseRole | 'postgres') => string;
  /** Writes and names the file with the MAC keys of these writers, for the process `reader`. */
  readonly macKeysFile: (reader: string, writers: readonly string[]) => string;
  readonly capabilityKeysFile: string;
  readonly atRestKeysFile: string;
  readonly sealKeyFile: string;
  /** Key that signs checkpoints; its name is the origin of this system's log. */
  readonly logKeyFile: string;
  readonly signInKeyFile: string;
  readonly pseudonymKeyFile: string;
  /** The credential of the demo upstream: the gateway's own, never an agent's. */
  readonly upstreamTokenFile: string;
  /** Folder of the upstreams' credentials, one folder for each tenant. */
  readonly upstreamCredentialsDir: string;
  /** Folder of the secrets of fact sources, one folder for each tenant. */
  readonly factSourcesDir: string;
  /** Folder of the secrets of channels, one folder for each tenant. */
  readonly channelSecretsDir: string;
  readonly bootstrapOperatorsFile: string;
  readonly operatorTokenFiles: readonly string[];
  /** How the persons sign in to the pages. */
  readonly signIns: readonly SignIn[];
}

/** What a person of the demo types to sign in. */
export interface SignIn {
  readonly id: string;
  readonly password: string;
  /** Secret of one-time codes, in base32. */
  readonly totp: string;
}

/** Files with what a person of the demo signs in with. */
export const signInFiles = (folder: string, id: string) => ({
  password: join(folder, `${id}.password`),
  totp: join(folder, `${id}.totp`),
});

/** Makes what is missing below `folder` and gives what is there. */
export function makeSecrets(folder: string): Secrets {
  const below = (...parts: string[]): string => join(folder, ...parts);
  for (const part of [
    '.',
    'nats',
    'database',
    'mac',
    'operators',
    'upstreams',
    join('upstreams', 'demo'),
    'facts',
    'channels',
    join('channels', 'demo'),
  ]) {
    mkdirSync(below(part), { recursive: true, mode: 0o700 });
    chmodSync(below(part), 0o700);
  }
  const [storeKey = '', storeKeyBefore = storeKey] = keepPrivate(
    below('nats-store.key'),
    randomPassword,
  ).split(/\s+/);
  const natsPassword = (user: string): string => keepPrivate(below('nats', user), randomPassword);
  const macKeys = new Map(
    WRITERS.map((writer) => [writer, keepPrivate(below('mac', `${writer}.key`), randomKey)]),
  );
  for (const keys of ['capability-keys.json', 'at-rest-keys.json'])
    keepPrivate(below(keys), () => JSON.stringify([randomKey()]));
  const upstreamTokenFile = below('upstreams', 'demo', 'shop.token');
  const keys = ['seal.key', 'pseudonym.key', 'sign-in.key'].map((name) => below(name));
  for (const file of [...keys, upstreamTokenFile]) keepPrivate(file, randomKey);
  keepPrivate(below('log.key'), () => showSignerKey(newLogKey()));
  return {
    natsPassword,
    natsStoreKeys: [storeKey, storeKeyBefore],
    natsPasswordFile: (user) => {
      natsPassword(user);
      return below('nats', user);
    },
    databasePassword: (role) => keepPrivate(below('database', role), randomPassword),
    macKeysFile: (reader, writers) => {
      const file = below('mac', `${reader}.json`);
      writePrivate(
        file,
        JSON.stringify(Object.fromEntries(writers.map((name) => [name, macKeys.get(name)]))),
      );
      return file;
    },
    capabilityKeysFile: below('capability-keys.json'),
    atRestKeysFile: below('at-rest-keys.json'),
    sealKeyFile: below('seal.key'),
    signInKeyFile: below('sign-in.key'),
    pseudonymKeyFile: below('pseudonym.key'),
    logKeyFile: below('log.key'),
    upstreamTokenFile,
    upstreamCredentialsDir: below('upstreams'),
    factSourcesDir: below('facts'),
    channelSecretsDir: below('channels'),
    ...makeOperators(below('operators')),
  };
}

/** The persons' tokens and sign-ins, and the file from which the admin service learns their hashes. */
function makeOperators(
  folder: string,
): Pick<Secrets, 'bootstrapOperatorsFile' | 'operatorTokenFiles' | 'signIns'> {
  const tokenFile = (id: string): string => join(folder, `${id}.token`);
  const operators = PERSONS.map((person): Operator => {
    const token = keepPrivate(tokenFile(person.id), () => `cso_${randomPassword()}`);
    return { ...person, token_hash: `sha256:${hash('sha256', token, 'hex')}` };
  });
  const bootstrapOperatorsFile = join(folder, 'bootstrap.json');
  writePrivate(bootstrapOperatorsFile, `${JSON.stringify(operators, null, 2)}\n`);
  return {
    bootstrapOperatorsFile,
    operatorTokenFiles: PERSONS.map(({ id }) => tokenFile(id)),
    signIns: PERSONS.map(({ id }) => {
      const { password, totp } = signInFiles(folder, id);
      return {
        id,
        password: keepPrivate(password, () => randomBytes(12).toString('base64url')),
        totp: keepPrivate(totp, () => base32(randomBytes(20))),
      };
    }),
  };
}

/** The origin is random too: no other log may ever have its name. */
const newLogKey = (): SignerKey => ({
  name: `countersign.local/${randomBytes(8).toString('hex')}`,
  type: NOTE_ED25519,
  seed: randomBytes(32),
});

/** 32 random bytes in base64. */
function randomKey(): string {
  return randomBytes(32).toString('base64');
}

/** 192 random bits that stand unquoted in an address, a configuration file or a header. */
function randomPassword(): string {
  return `x${randomBytes(24).toString('hex')}`;
}

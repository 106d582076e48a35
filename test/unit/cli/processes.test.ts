import { describe, expect, test } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { PROCESSES, healthPort, instancesOf, usualPorts } from '#cli/local/processes.ts';
import type { Site } from '#cli/local/processes.ts';
import { NATS_USERS } from '#cli/local/secrets.ts';

/** A site whose values say what they are, so that a wrong one is seen. */
const site: Site = {
  natsUrl: 'nats://127.0.0.1:1',
  natsMonitorUrl: 'http://127.0.0.1:2',
  port: (name) => name.length,
  databaseUrlFile: (role) => `database of ${role}`,
  opa: 'opa',
  chat: { channelsFile: 'channels', target: 'chat' },
  witness: { keyFile: 'witness key', store: 'witness store', policyFile: 'witness policy' },
  secrets: {
    natsPassword: () => 'a password that must not get into an environment',
    natsStoreKeys: ['a key that must not get into an environment', ''],
    natsPasswordFile: (user) => `password of ${user}`,
    databasePassword: () => 'a password that must not get into an environment',
    macKeysFile: (reader, writers) => `keys for ${reader}: ${writers.join(' ')}`,
    capabilityKeysFile: 'capability keys',
    atRestKeysFile: 'at-rest keys',
    sealKeyFile: 'seal key',
    signInKeyFile: 'sign-in key',
    signIns: [],
    pseudonymKeyFile: 'pseudonym key',
    logKeyFile: 'log key',
    upstreamTokenFile: 'upstream token',
    upstreamCredentialsDir: 'upstream credentials',
    factSourcesDir: 'fact sources',
    channelSecretsDir: 'channel secrets',
    bootstrapOperatorsFile: 'operators',
    operatorTokenFiles: [],
  },
};

const environments = [...PROCESSES.steps, ...PROCESSES.services].map(
  (spec) => [spec.name, spec.env(site)] as const,
);

describe('the table of processes', () => {
  test.each(environments)('%s gets secrets as files only', (_name, env) => {
    expect(Object.values(env).filter((value) => value.includes('must not'))).toEqual([]);
  });

  test.each(environments.filter(([, env]) => 'COUNTERSIGN_NATS_USER' in env))(
    '%s is a user of the broker under its own name',
    (name, env) => {
      expect(env['COUNTERSIGN_NATS_USER']).toBe(name);
      expect(NATS_USERS).toContain(name);
      expect(env['COUNTERSIGN_NATS_PASSWORD_FILE']).toBe(`password of ${name}`);
    },
  );

  test('only the chainer can check every writer, and nobody holds keys of others to sign with but for checking', () => {
    const keys = Object.fromEntries(
      environments.map(([name, env]) => [name, env['COUNTERSIGN_MAC_KEYS_FILE']]),
    );
    expect(keys).toEqual({
      migrate: undefined,
      witness: undefined,
      admin: 'keys for admin: admin audit-chainer decision-worker notifier',
      'audit-chainer':
        'keys for audit-chainer: ingress decision-worker audit-chainer admin approval-escalation notifier',
      'approval-escalation':
        'keys for approval-escalation: approval-escalation decision-worker admin ingress notifier',
      notifier: 'keys for notifier: notifier approval-escalation admin',
      'decision-worker': 'keys for decision-worker: decision-worker approval-escalation',
      'budget-settler': 'keys for budget-settler: decision-worker ingress',
      shop: undefined,
      ingress: 'keys for ingress: ingress',
    });
  });

  test('no path of this machine is in it', () => {
    expect(JSON.stringify(PROCESSES)).not.toContain(CHECKOUT);
  });
});

describe('instances and ports', () => {
  const table = {
    steps: [],
    services: [
      { name: 'a', entry: 'a.ts', replicas: 1, env: () => ({}) },
      { name: 'b', entry: 'b.ts', replicas: 2, env: () => ({}) },
    ],
  };
  const names = (replicas?: Record<string, number>): string[] =>
    instancesOf(table, replicas).map(({ name }) => name);

  test('a single process bears the name of its service, several are counted', () => {
    expect(names()).toEqual(['a', 'b-1', 'b-2']);
    expect(names({ a: 3, b: 1 })).toEqual(['a-1', 'a-2', 'a-3', 'b']);
  });

  test('every part has a port of its own', () => {
    const ports = usualPorts(instancesOf(table));
    expect([...ports.keys()]).toEqual([
      'ingress',
      'admin',
      'upstream',
      'nats',
      'nats-monitor',
      'postgres',
      'witness',
      'notifier',
      'chat',
      ...['a', 'b-1', 'b-2'].map(healthPort),
    ]);
    expect(new Set(ports.values()).size).toBe(ports.size);
  });
});

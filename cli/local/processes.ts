// The one table of our own processes on one machine: what each is started with, in which order, how often.
// nats-server and Postgres come before all of them (system.ts).

import { RECEIPT_KEYS_PATH } from '#contracts/receipt-key.ts';

import type { LocalChat } from './chat.ts';
import type { DatabaseRole, Secrets } from './secrets.ts';
import type { LocalWitness } from './witness.ts';

/** What the processes of one system share. */
export interface Site {
  readonly natsUrl: string;
  readonly natsMonitorUrl: string;
  readonly secrets: Secrets;
  readonly witness: LocalWitness;
  readonly chat: LocalChat;
  /** The port that bears this name (see `ports` of a service). */
  readonly port: (name: string) => number;
  readonly databaseUrlFile: (role: DatabaseRole) => string;
  /** Path of the opa command. */
  readonly opa: string;
}

type Environment = Readonly<Record<string, string>>;

/** A process that runs to its end before the services start. */
export interface StepSpec {
  readonly name: string;
  readonly entry: string;
  readonly env: (site: Site) => Environment;
}

export interface ServiceSpec {
  readonly name: string;
  /** File below the checkout. */
  readonly entry: string;
  readonly replicas: number;
  /** True when the seed talks to it, so that it must be ready before the rest can be. */
  readonly isSeeded?: true;
  /** Its work can wait for that of the others. */
  readonly background?: true;
  readonly env: (site: Site) => Environment;
}

export interface ProcessTable {
  readonly steps: readonly StepSpec[];
  /** In start order; stopped in reverse, so that callers go before what they call. */
  readonly services: readonly ServiceSpec[];
}

const HOST = '127.0.0.1';

const bus = (site: Site, user: string): Environment => ({
  COUNTERSIGN_NATS_URL: site.natsUrl,
  COUNTERSIGN_NATS_MONITOR_URL: site.natsMonitorUrl,
  COUNTERSIGN_NATS_USER: user,
  COUNTERSIGN_NATS_PASSWORD_FILE: site.secrets.natsPasswordFile(user),
});

/** The keys that a process signs with or checks by: only those of `writers`. */
const macKeys = (site: Site, reader: string, writers: readonly string[]): Environment => ({
  COUNTERSIGN_MAC_KEYS_FILE: site.secrets.macKeysFile(reader, writers),
});

export const PROCESSES: ProcessTable = {
  steps: [
    {
      name: 'migrate',
      entry: 'services/migrate/main.ts',
      env: (site) => ({
        ...bus(site, 'migrate'),
        COUNTERSIGN_DATABASE_URL_FILE: site.databaseUrlFile('countersign_migrator'),
      }),
    },
  ],
  services: [
    {
      // It knows nothing of the others: no bus, no database, no secret of theirs.
      name: 'witness',
      entry: 'services/witness/main.ts',
      replicas: 1,
      background: true,
      env: ({ port, witness }) => ({
        COUNTERSIGN_WITNESS_HOST: HOST,
        COUNTERSIGN_WITNESS_PORT: String(port('witness')),
        COUNTERSIGN_WITNESS_KEY_FILE: witness.keyFile,
        COUNTERSIGN_WITNESS_STORE: witness.store,
        COUNTERSIGN_WITNESS_LOGS_FILE: witness.policyFile,
      }),
    },
    {
      name: 'admin',
      entry: 'services/admin/main.ts',
      replicas: 1,
      isSeeded: true,
      env: (site) => ({
        ...bus(site, 'admin'),
        ...macKeys(site, 'admin', ['admin', 'audit-chainer', 'decision-worker', 'notifier']),
        COUNTERSIGN_ADMIN_HOST: HOST,
        COUNTERSIGN_ADMIN_PORT: String(site.port('admin')),
        COUNTERSIGN_CAPABILITY_KEYS_FILE: site.secrets.capabilityKeysFile,
        COUNTERSIGN_DATABASE_URL_FILE: site.databaseUrlFile('countersign_admin'),
        COUNTERSIGN_AT_REST_KEYS_FILE: site.secrets.atRestKeysFile,
        COUNTERSIGN_BOOTSTRAP_OPERATORS_FILE: site.secrets.bootstrapOperatorsFile,
        COUNTERSIGN_SIGN_IN_KEY_FILE: site.secrets.signInKeyFile,
        COUNTERSIGN_FACT_SOURCES_DIR: site.secrets.factSourcesDir,
        COUNTERSIGN_OPA: site.opa,
      }),
    },
    {
      name: 'audit-chainer',
      entry: 'services/audit-chainer/main.ts',
      replicas: 1,
      // Records wait in the stream; a decision on the same cores does not.
      background: true,
      env: (site) => ({
        ...bus(site, 'audit-chainer'),
        ...macKeys(site, 'audit-chainer', [
          'ingress',
          'decision-worker',
          'audit-chainer',
          'admin',
          'approval-escalation',
          'notifier',
        ]),
        COUNTERSIGN_DATABASE_URL_FILE: site.databaseUrlFile('countersign_chainer'),
        COUNTERSIGN_AT_REST_KEYS_FILE: site.secrets.atRestKeysFile,
        COUNTERSIGN_LOG_KEY_FILE: site.secrets.logKeyFile,
        COUNTERSIGN_WITNESS_POLICY_FILE: site.witness.policyFile,
      }),
    },
    {
      name: 'approval-escalation',
      entry: 'services/approval-escalation/main.ts',
      replicas: 1,
      env: (site) => ({
        ...bus(site, 'approval-escalation'),
        ...macKeys(site, 'approval-escalation', [
          'approval-escalation',
          'decision-worker',
          'admin',
          'ingress',
          'notifier',
        ]),
        COUNTERSIGN_DATABASE_URL_FILE: site.databaseUrlFile('countersign_approvals'),
        COUNTERSIGN_AT_REST_KEYS_FILE: site.secrets.atRestKeysFile,
      }),
    },
    {
      name: 'notifier',
      entry: 'services/notifier/main.ts',
      replicas: 1,
      background: true,
      env: (site) => ({
        ...bus(site, 'notifier'),
        ...macKeys(site, 'notifier', ['notifier', 'approval-escalation', 'admin']),
        COUNTERSIGN_DATABASE_URL_FILE: site.databaseUrlFile('countersign_notifier'),
        COUNTERSIGN_AT_REST_KEYS_FILE: site.secrets.atRestKeysFile,
        COUNTERSIGN_NOTIFIER_HOST: HOST,
        COUNTERSIGN_NOTIFIER_PORT: String(site.port('notifier')),
        COUNTERSIGN_CHANNELS_FILE: site.chat.channelsFile,
        COUNTERSIGN_CHANNEL_SECRETS_DIR: site.secrets.channelSecretsDir,
        // The demo's chat, and nothing else that is not public.
        COUNTERSIGN_NOTIFIER_TARGETS_ALLOWED: site.chat.target,
      }),
    },
    {
      name: 'chat',
      entry: 'cli/demo/chat.ts',
      replicas: 1,
      background: true,
      env: (site) => ({
        COUNTERSIGN_CHAT_PORT: String(site.port('chat')),
        COUNTERSIGN_CHAT_SECRETS_DIR: site.secrets.channelSecretsDir,
        COUNTERSIGN_CHAT_CALLBACKS_URL: `http://${HOST}:${site.port('notifier')}`,
      }),
    },
    {
      name: 'decision-worker',
      entry: 'services/decision-worker/main.ts',
      replicas: 1,
      env: (site) => ({
        ...bus(site, 'decision-worker'),
        // Entries of approvals are believed by the key of their writer.
        ...macKeys(site, 'decision-worker', ['decision-worker', 'approval-escalation']),
        COUNTERSIGN_CAPABILITY_KEYS_FILE: site.secrets.capabilityKeysFile,
        COUNTERSIGN_PSEUDONYM_KEY_FILE: site.secrets.pseudonymKeyFile,
      }),
    },
    {
      name: 'budget-settler',
      entry: 'services/budget-settler/main.ts',
      replicas: 1,
      background: true,
      env: (site) => ({
        ...bus(site, 'budget-settler'),
        ...macKeys(site, 'budget-settler', ['decision-worker', 'ingress']),
      }),
    },
    {
      name: 'shop',
      entry: 'cli/demo/shop.ts',
      replicas: 1,
      isSeeded: true,
      env: (site) => ({
        COUNTERSIGN_SHOP_HOST: HOST,
        COUNTERSIGN_SHOP_PORT: String(site.port('upstream')),
        COUNTERSIGN_SHOP_TOKEN_FILE: site.secrets.upstreamTokenFile,
        COUNTERSIGN_SHOP_KEYS_URL: `http://${HOST}:${site.port('admin')}${RECEIPT_KEYS_PATH}`,
      }),
    },
    {
      name: 'ingress',
      entry: 'services/ingress/main.ts',
      replicas: 1,
      env: (site) => ({
        ...bus(site, 'ingress'),
        ...macKeys(site, 'ingress', ['ingress']),
        COUNTERSIGN_INGRESS_HOST: HOST,
        COUNTERSIGN_INGRESS_PORT: String(site.port('ingress')),
        COUNTERSIGN_SEAL_KEY_FILE: site.secrets.sealKeyFile,
        COUNTERSIGN_UPSTREAM_CREDENTIALS_DIR: site.secrets.upstreamCredentialsDir,
      }),
    },
  ],
};

/** One process of a service, under the name that commands and tests use. */
export interface Instance {
  readonly name: string;
  readonly service: ServiceSpec;
}

/** The processes of a table in start order; `replicas` may change a service's number. */
export function instancesOf(
  table: ProcessTable,
  replicas: Readonly<Record<string, number>> = {},
): Instance[] {
  return table.services.flatMap((service) => {
    const count = replicas[service.name] ?? service.replicas;
    return Array.from({ length: count }, (_, index) => ({
      name: count === 1 ? service.name : `${service.name}-${index + 1}`,
      service,
    }));
  });
}

/** Names of the ports that a system needs, with the port that each has unless it is taken. */
export function usualPorts(instances: readonly Instance[]): ReadonlyMap<string, number> {
  const fixed = [
    'ingress',
    'admin',
    'upstream',
    'nats',
    'nats-monitor',
    'postgres',
    'witness',
    'notifier',
    'chat',
  ];
  const health = instances.map(({ name }) => healthPort(name));
  return new Map([...fixed, ...health].map((name, index) => [name, FIRST_PORT + index]));
}

const FIRST_PORT = 8480;

/** Name of the port where a process tells its health. */
export function healthPort(instance: string): string {
  return `${instance} health`;
}

// What one system stands on before anything runs: its secrets, its ports, the addresses that follow from them.

import { join } from 'node:path';

import { findBinary } from './binaries.ts';
import type { OnProgress } from './binaries.ts';
import { prepareChat } from './chat.ts';
import { DATABASE } from './database.ts';
import { placesIn } from './places.ts';
import { planPorts } from './port-plan.ts';
import { postgresUrl } from './postgres.ts';
import { usualPorts } from './processes.ts';
import type { Instance, Site } from './processes.ts';
import type { SystemState } from './run-state.ts';
import { makeSecrets } from './secrets.ts';
import { prepareWitness } from './witness.ts';

export interface SiteOptions {
  readonly dir: string;
  readonly instances: readonly Instance[];
  readonly ports: 'usual' | 'any';
  readonly demandedPorts: Readonly<Record<string, number>>;
  readonly onProgress: OnProgress;
  /** Gives up fetching a binary. */
  readonly signal: AbortSignal | undefined;
}

export interface PreparedSite extends Site {
  readonly urls: SystemState['urls'];
  readonly natsServer: string;
  /** Address of a database for the superuser, with password. */
  readonly superuserUrl: (database: string) => string;
}

/** Makes secrets, chooses ports and finds the binaries; starts nothing. */
export async function prepareSite(options: SiteOptions): Promise<PreparedSite> {
  const places = placesIn(options.dir);
  const secrets = makeSecrets(places.secrets);
  const ports = await planPorts(places.ports, {
    usual: usualPorts(options.instances),
    from: options.ports,
    demanded: options.demandedPorts,
  });
  const port = (name: string): number => {
    const found = ports.get(name);
    if (found === undefined) throw new Error(`no port is planned for ${name}`);
    return found;
  };
  const http = (name: string): string => `http://127.0.0.1:${port(name)}`;
  const urls = {
    ingress: http('ingress'),
    admin: http('admin'),
    nats: `nats://127.0.0.1:${port('nats')}`,
    natsMonitor: http('nats-monitor'),
    postgres: `postgres://127.0.0.1:${port('postgres')}/${DATABASE}`,
    upstream: `${http('upstream')}/mcp`,
    chat: http('chat'),
  };
  const superuser = { user: 'postgres', password: secrets.databasePassword('postgres') };
  return {
    urls,
    port,
    secrets,
    witness: prepareWitness(options.dir, {
      logKeyFile: secrets.logKeyFile,
      url: http('witness'),
    }),
    chat: prepareChat(options.dir, {
      secretsDir: secrets.channelSecretsDir,
      port: port('chat'),
      adminUrl: urls.admin,
    }),
    natsUrl: urls.nats,
    natsMonitorUrl: urls.natsMonitor,
    superuserUrl: (database) => postgresUrl(port('postgres'), superuser, database),
    databaseUrlFile: (role) => join(places.secrets, 'database', `${role}.url`),
    natsServer: await findBinary('nats-server', options.onProgress, options.signal),
    opa: await findBinary('opa', options.onProgress, options.signal),
  };
}

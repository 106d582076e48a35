// How each process of a system is started and asked: nats-server, Postgres, the steps before the services, the services.

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { CliError } from '#cli/output.ts';
import { passwordVariable } from '#contracts/permissions.ts';

import type { Member } from './crew.ts';
import { DATABASE, prepareDatabase } from './database.ts';
import { startNatsServer } from './nats-server.ts';
import { CHECKOUT, placesIn } from './places.ts';
import { postgresUrl, startPostgresServer, whyNotAccepting } from './postgres.ts';
import { writePrivate } from './private-file.ts';
import { startProcess } from './process.ts';
import type { OwnedProcess } from './process.ts';
import { healthPort } from './processes.ts';
import type { Instance, StepSpec } from './processes.ts';
import { whyNotReady } from './readiness.ts';
import { DATABASE_ROLES, NATS_USERS } from './secrets.ts';
import type { PreparedSite } from './site.ts';

export interface Surroundings {
  /** Folder of the system. */
  readonly dir: string;
  readonly site: PreparedSite;
  readonly natsConf: string;
  /** Further environment of a service's processes. */
  readonly env: (service: string) => Readonly<Record<string, string>>;
}

export function natsMember({ dir, site, natsConf }: Surroundings): Member {
  const readyUrl = `${site.urls.natsMonitor}/healthz`;
  const passwords = NATS_USERS.map(
    (user) => [passwordVariable(user), site.secrets.natsPassword(user)] as const,
  );
  return {
    name: 'nats',
    readyUrl,
    probe: () => whyNotReady(readyUrl),
    start: () =>
      startNatsServer({
        binary: site.natsServer,
        configFile: natsConf,
        monitorUrl: site.urls.natsMonitor,
        logFile: logFile(dir, 'nats'),
        env: {
          COUNTERSIGN_NATS_NAME: 'countersign-local',
          COUNTERSIGN_NATS_HOST: '127.0.0.1',
          COUNTERSIGN_NATS_PORT: String(site.port('nats')),
          COUNTERSIGN_NATS_MONITOR: `127.0.0.1:${site.port('nats-monitor')}`,
          // It is read as a value of the configuration: quoted, for the blanks and signs of a path.
          COUNTERSIGN_NATS_STORE: JSON.stringify(join(placesIn(dir).data, 'nats')),
          COUNTERSIGN_NATS_STORE_KEY: site.secrets.natsStoreKeys[0],
          COUNTERSIGN_NATS_STORE_KEY_BEFORE: site.secrets.natsStoreKeys[1],
          ...Object.fromEntries(passwords),
        },
      }),
  };
}

export function postgresMember({ dir, site }: Surroundings): Member {
  return {
    name: 'postgres',
    readyUrl: '',
    probe: () => whyNotAccepting(site.superuserUrl('postgres')),
    start: () =>
      startPostgresServer({
        dir: join(placesIn(dir).data, 'postgres'),
        port: site.port('postgres'),
        password: site.secrets.databasePassword('postgres'),
        logFile: logFile(dir, 'postgres'),
      }),
  };
}

export function serviceMember(around: Surroundings, { name, service }: Instance): Member {
  const port = around.site.port(healthPort(name));
  const readyUrl = `http://127.0.0.1:${port}/readyz`;
  return {
    name,
    readyUrl,
    probe: () => whyNotReady(readyUrl),
    start: () =>
      startOurs(around, {
        name,
        entry: service.entry,
        ...(service.background === undefined ? {} : { background: service.background }),
        env: {
          ...service.env(around.site),
          COUNTERSIGN_HEALTH_PORT: String(port),
          ...around.env(service.name),
        },
      }),
  };
}

/** Runs a step to its end. Throws CliError with its last log lines when it fails. */
export async function runStep(around: Surroundings, step: StepSpec): Promise<void> {
  const { name, entry } = step;
  const owned = await startOurs(around, { name, entry, env: step.env(around.site) });
  const { code, signal } = await owned.exited;
  if (code === 0) return;
  throw new CliError(`${name} failed (${signal ?? `exit code ${code}`}):\n${owned.logTail()}`, {
    help: `the whole log is ${owned.logFile}`,
  });
}

/** Makes roles and database, and for each role the file with its address that its process reads. */
export async function prepareRoles(site: PreparedSite): Promise<void> {
  const { databasePassword } = site.secrets;
  await prepareDatabase(site.superuserUrl('postgres'), databasePassword);
  for (const user of DATABASE_ROLES) {
    const login = { user, password: databasePassword(user) };
    const url = postgresUrl(site.port('postgres'), login, DATABASE);
    writePrivate(site.databaseUrlFile(user), `${url}\n`);
  }
}

async function startOurs(
  { dir }: Surroundings,
  ours: {
    name: string;
    entry: string;
    background?: true;
    env: Readonly<Record<string, string>>;
  },
): Promise<OwnedProcess> {
  const file = join(CHECKOUT, ours.entry);
  if (!existsSync(file)) {
    throw new CliError(`${ours.entry} is missing from this checkout.`, { help: 'git status' });
  }
  return startProcess({
    name: ours.name,
    command: process.execPath,
    args: [file],
    // Compiled code is kept, so that a second start reads it instead of compiling it again.
    env: { ...inherited(), NODE_COMPILE_CACHE: join(dir, 'compile-cache'), ...ours.env },
    logFile: logFile(dir, ours.name),
    channel: true,
    ...(ours.background === undefined ? {} : { background: ours.background }),
  });
}

/** What a process of ours takes from our own environment: what Node and the system need, and the wished log level. */
function inherited(): NodeJS.ProcessEnv {
  const names = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'TZ', 'NODE_OPTIONS', 'COUNTERSIGN_LOG_LEVEL'];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

function logFile(dir: string, name: string): string {
  return join(placesIn(dir).log, `${name}.log`);
}

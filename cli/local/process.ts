// Child processes that we own: started in a session of their own, their output in a file, stopped within a bound.

import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import { CliError } from '#cli/output.ts';

import { identify } from './process-identity.ts';
import type { ProcessIdentity } from './process-identity.ts';
import type { Probe } from './readiness.ts';

export interface ProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment of the child. */
  readonly env: NodeJS.ProcessEnv;
  /** Output is appended here. */
  readonly logFile: string;
  readonly cwd?: string;
  /** Ends it in its own orderly way; also sent by the kernel when we die (Linux). */
  readonly stopSignal?: 'SIGTERM' | 'SIGINT';
  /** True for our own Node processes: they see a closed channel when we die, where no kernel tells them. */
  readonly channel?: boolean;
  /** Further `setpriv` options, to run as another user. Linux only. */
  readonly privileges?: readonly string[];
  /** Runs with low priority: its work can wait for that of the others on this machine. */
  readonly background?: true;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How long a process may take to end in order before it is killed. */
export const STOP_MS_MAX = 10_000;
const LOG_TAIL_LINES = 8;
const WAIT_TOLD_MS = 5_000;

/** One running child. Its pid stays the same for its whole life. */
export class OwnedProcess {
  readonly name: string;
  readonly pid: number;
  /** What to record, so that a later run can tell this process from another with its pid. */
  readonly identity: ProcessIdentity;
  readonly logFile: string;
  /** Fulfilled when it has ended; never rejected. */
  readonly exited: Promise<Exit>;
  #exit: Exit | undefined;
  readonly #stopSignal: NodeJS.Signals;

  constructor(options: ProcessOptions, identity: ProcessIdentity, exited: Promise<Exit>) {
    this.name = options.name;
    this.pid = identity.pid;
    this.identity = identity;
    this.logFile = options.logFile;
    this.#stopSignal = options.stopSignal ?? 'SIGTERM';
    this.exited = exited.then((exit) => (this.#exit = exit));
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** Sends a signal, unless it has ended (its pid may belong to someone else by then). */
  signal(signal: NodeJS.Signals): void {
    if (this.running) process.kill(this.pid, signal);
  }

  /** Ends it in order, by force after the bound. Returns when it is gone. */
  async stop(boundMs = STOP_MS_MAX): Promise<Exit> {
    this.signal(this.#stopSignal);
    const timer = setTimeout(() => this.signal('SIGKILL'), boundMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }

  /** The last lines that it wrote, for an error message. */
  logTail(): string {
    return readFileSync(this.logFile, 'utf8')
      .trimEnd()
      .split('\n')
      .slice(-LOG_TAIL_LINES)
      .join('\n');
  }
}

/** Niceness of what can wait: served with what the others leave. */
const BACKGROUND = 10;

/** Where Linux groups by session (sched_autogroup), a child in a session of its own competes by its group's niceness. */
function toBackground(pid: number): void {
  try {
    setPriority(pid, BACKGROUND);
  } catch {
    // It has less already, as all of a system that was started with `nice -n 15`; or it has ended, which is told elsewhere.
  }
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(BACKGROUND));
  } catch {
    // No such grouping on this system.
  }
}

/** Starts a child. Throws CliError when the program cannot be started at all. */
export async function startProcess(options: ProcessOptions): Promise<OwnedProcess> {
  const [command, args] = withPrivileges(options);
  const log = openSync(options.logFile, 'a');
  const child = spawn(command, args, {
    // A session of its own: Ctrl-C in a terminal reaches us alone, and we stop the children in order.
    detached: true,
    env: options.env,
    stdio: ['ignore', log, log, ...(options.channel === true ? ['ipc' as const] : [])],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  closeSync(log);
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) =>
      reject(new CliError(`${options.name} cannot be started: ${cause.message}`, { cause })),
    );
  });
  if (options.background === true && child.pid !== undefined) toBackground(child.pid);
  if (child.pid === undefined) throw new CliError(`${options.name} has no process id`);
  const identity = (await identify(child.pid)) ?? { pid: child.pid, startedAt: '' };
  return new OwnedProcess(options, identity, exited);
}

/**
 * Waits until the process is ready; `onWait` hears now and then what it waits for. Throws CliError with the last
 * log lines when it ends before that, or when the bound passes (it is then left running for the caller to stop).
 */
export async function waitUntilReady(
  owned: OwnedProcess,
  probe: Probe,
  options: { readonly boundMs: number; readonly onWait?: (line: string) => void },
): Promise<void> {
  const { boundMs, onWait = () => {} } = options;
  const deadline = Date.now() + boundMs;
  let tellAt = Date.now() + WAIT_TOLD_MS;
  let reason = '';
  while (Date.now() < deadline) {
    if (!owned.running) {
      const { code, signal } = await owned.exited;
      throw new CliError(
        `${owned.name} ended while starting (${signal ?? `exit code ${code}`}):\n${owned.logTail()}`,
        { help: `the whole log is ${owned.logFile}` },
      );
    }
    reason = await probe();
    if (reason === '') return;
    if (Date.now() > tellAt) {
      onWait(`waiting for ${owned.name}: ${reason}`);
      tellAt = Date.now() + WAIT_TOLD_MS;
    }
    await sleep(20);
  }
  throw new CliError(
    `${owned.name} is not ready after ${boundMs / 1000} s (${reason}):\n${owned.logTail()}`,
    { help: `the whole log is ${owned.logFile}` },
  );
}

/** `setpriv` (util-linux) keeps the pid, lets the kernel end the child when we die, and drops privileges. */
function withPrivileges(options: ProcessOptions): [string, string[]] {
  const args = [...options.args];
  const privileges = options.privileges ?? [];
  if (!hasSetpriv()) return [options.command, args];
  const signal = (options.stopSignal ?? 'SIGTERM').slice('SIG'.length);
  return ['setpriv', ['--pdeathsig', signal, ...privileges, '--', options.command, ...args]];
}

let setprivKnown: boolean | undefined;

/** True where `setpriv` can set a parent-death signal (any Debian or Ubuntu of these years, not macOS). */
export function hasSetpriv(): boolean {
  setprivKnown ??= probeSetpriv();
  return setprivKnown;
}

function probeSetpriv(): boolean {
  try {
    return execFileSync('setpriv', ['--help'], { encoding: 'utf8' }).includes('--pdeathsig');
  } catch {
    return false;
  }
}

// One process that is kept running: started, watched, started again with growing pauses, stopped for good.

import { setTimeout as sleep } from 'node:timers/promises';

import { CliError } from '#cli/output.ts';

import type { ProcessIdentity } from './process-identity.ts';
import { waitUntilReady } from './process.ts';
import type { Exit, OwnedProcess } from './process.ts';
import type { Probe } from './readiness.ts';

export interface SupervisedOptions {
  readonly name: string;
  /** Starts one life of the process. */
  readonly start: () => Promise<OwnedProcess>;
  readonly probe: Probe;
  /** Called when it has started, ended, or could not be started again. */
  readonly onChange: (event: string) => void;
  /** Called now and then while a start waits for it to be ready. */
  readonly onWait: (line: string) => void;
}

/** Pause before the first new start; it doubles with each further one. */
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 5_000;
/** A process that lived this long starts again without a long pause. */
const SETTLED_MS = 30_000;
/** A service may read a large state before it is ready. */
const READY_MS_MAX = 60_000;

export class Supervised {
  readonly name: string;
  /** How often it was started again since the system started. */
  restarts = 0;
  readonly #options: SupervisedOptions;
  #current: OwnedProcess | undefined;
  #identity: ProcessIdentity | undefined;
  #stopping = new AbortController();
  #starting: Promise<void> = Promise.resolve();
  #life: Promise<void> = Promise.resolve();

  constructor(options: SupervisedOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** What to record: the running life, else the last one. Undefined before the first. */
  get identity(): ProcessIdentity | undefined {
    return this.#identity;
  }

  /** The running process, undefined between two lives and after a stop. */
  get current(): OwnedProcess | undefined {
    return this.#current;
  }

  /** Starts it and returns when it is ready. Throws CliError with its last log lines, also when stopped meanwhile. */
  async start(): Promise<void> {
    this.#stopping = new AbortController();
    this.#starting = this.#begin(this.#stopping.signal);
    return this.#starting;
  }

  /** Ends it in order; it stays down until the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#current?.stop();
    await this.#starting.catch(() => {});
    await this.#life;
  }

  /** Returns when the present or next life of the process is ready. Throws CliError after the bound. */
  async ready(boundMs = READY_MS_MAX): Promise<void> {
    const deadline = Date.now() + boundMs;
    let reason = 'not running';
    while (Date.now() < deadline) {
      reason = this.#current === undefined ? 'not running' : await this.#options.probe();
      if (reason === '') return;
      await sleep(20);
    }
    throw new CliError(`${this.name} is not ready after ${boundMs / 1000} s (${reason})`);
  }

  async #begin(stopping: AbortSignal): Promise<void> {
    const first = await this.#startOnce(stopping);
    this.#life = this.#live(first);
    const { probe, onWait } = this.#options;
    await waitUntilReady(first, probe, { boundMs: READY_MS_MAX, onWait });
  }

  async #startOnce(stopping: AbortSignal): Promise<OwnedProcess> {
    const started = await this.#options.start();
    this.#current = started;
    this.#identity = started.identity;
    this.#options.onChange(`${this.name} started`);
    // A stop that came while it started has not seen it.
    if (stopping.aborted) await started.stop();
    return started;
  }

  async #live(first: OwnedProcess): Promise<void> {
    let process: OwnedProcess | undefined = first;
    let pauseMs = PAUSE_MS_MIN;
    while (process !== undefined) {
      const startedAt = Date.now();
      const exit = await process.exited;
      this.#current = undefined;
      if (this.#stopping.signal.aborted) return;
      this.#options.onChange(`${this.name} ended (${describe(exit)}), starting it again`);
      if (Date.now() - startedAt > SETTLED_MS) pauseMs = PAUSE_MS_MIN;
      process = await this.#startAgain(pauseMs);
      pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX);
    }
  }

  /** The next life, undefined when a stop came first. */
  async #startAgain(firstPauseMs: number): Promise<OwnedProcess | undefined> {
    const { signal } = this.#stopping;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX)) {
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return undefined;
      this.restarts += 1;
      try {
        return await this.#startOnce(signal);
      } catch (error) {
        this.#options.onChange(`${this.name} did not start: ${(error as Error).message}`);
      }
    }
  }
}

function describe(exit: Exit): string {
  return exit.signal ?? `exit code ${exit.code}`;
}

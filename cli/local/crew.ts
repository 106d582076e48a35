// The processes of one system in start order: addressed by name, stopped in reverse, written down at each change.

import type { OwnedProcess } from './process.ts';
import type { Probe } from './readiness.ts';
import type { RecordedProcess } from './run-state.ts';
import { Supervised } from './supervised.ts';

export interface Member {
  readonly name: string;
  /** Address that answers 2xx when it is ready, for other commands to ask; empty for Postgres. */
  readonly readyUrl: string;
  readonly probe: Probe;
  readonly start: () => Promise<OwnedProcess>;
}

export class Crew {
  readonly #onChange: (event: string) => void;
  readonly #onWait: (line: string) => void;
  readonly #members = new Map<string, { readonly of: Member; readonly supervised: Supervised }>();
  #stopped: Promise<void> | undefined;

  /** `onChange` hears of each start and each end, after `recorded()` and `pids()` show it. */
  constructor(onChange: (event: string) => void, onWait: (line: string) => void) {
    this.#onChange = onChange;
    this.#onWait = onWait;
  }

  /** Adds a process behind those that are there and starts it; returns when it is ready. */
  async start(member: Member): Promise<void> {
    if (this.#stopped !== undefined) throw new Error(`${member.name} comes after the stop`);
    const supervised = new Supervised({
      ...member,
      onChange: this.#onChange,
      onWait: this.#onWait,
    });
    this.#members.set(member.name, { of: member, supervised });
    await supervised.start();
  }

  /** Running processes by name. */
  pids(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      [...this.#members].flatMap(
        ([
          name,
          {
            supervised: { current },
          },
        ]) => (current === undefined ? [] : [[name, current.pid] as const]),
      ),
    );
  }

  /** Every process that was started, with its last life, in start order. */
  recorded(): RecordedProcess[] {
    return [...this.#members.values()].flatMap(({ of: { name, readyUrl }, supervised }) => {
      const { identity, restarts } = supervised;
      return identity === undefined ? [] : [{ name, ...identity, restarts, readyUrl }];
    });
  }

  async kill(name: string, signal: NodeJS.Signals): Promise<void> {
    const { current } = this.#find(name);
    current?.signal(signal);
    await current?.exited;
  }

  async halt(name: string): Promise<void> {
    await this.#find(name).stop();
    this.#onChange(`${name} is halted`);
  }

  async restart(name: string): Promise<void> {
    await this.#find(name).stop();
    await this.#find(name).start();
  }

  async ready(name?: string): Promise<void> {
    const names = name === undefined ? [...this.#members.keys()] : [name];
    await Promise.all(names.map((each) => this.#find(each).ready()));
  }

  /** One after the other: who calls goes before who is called, and each drains into what still runs. */
  async stop(onProgress: (line: string) => void): Promise<void> {
    this.#stopped ??= this.#stopInOrder(onProgress);
    return this.#stopped;
  }

  async #stopInOrder(onProgress: (line: string) => void): Promise<void> {
    for (const { supervised } of [...this.#members.values()].toReversed()) {
      onProgress(`stopping ${supervised.name}`);
      await supervised.stop();
    }
  }

  #find(name: string): Supervised {
    const found = this.#members.get(name);
    if (found !== undefined) return found.supervised;
    throw new Error(`no process ${name}; there are ${[...this.#members.keys()].join(', ')}`);
  }
}

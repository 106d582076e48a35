/**
 * Ends a worker whose policy computes without end. WASM evaluation is synchronous, so only another thread can see
 * it: this process arms a shared word around each evaluation, the thread looks at it, and after a second marks the
 * digest as runaway in the control bucket and kills the process. From then on every worker refuses that digest.
 */
import { Worker } from 'node:worker_threads';

import type { BusOptions } from '#host/nats.ts';

/** Milliseconds an evaluation may take. */
export const EVALUATION_MS_MAX = 1_000;

type Evaluate<T> = (input: Uint8Array, timeMs: number) => T;

export interface Watchdog {
  /** The same function, armed while it runs. */
  readonly watched: <T>(tenant: string, digest: string, evaluate: Evaluate<T>) => Evaluate<T>;
  readonly close: () => Promise<void>;
}

/** What the thread is told about a policy it may have to name. */
export interface Watched {
  readonly slot: number;
  readonly tenant: string;
  readonly digest: string;
}

export interface WatchdogData {
  /** Word 0: number of the running evaluation, 0 when none. Word 1: its slot. */
  readonly shared: SharedArrayBuffer;
  readonly bus: BusOptions;
}

export function startWatchdog(bus: BusOptions): Watchdog {
  const shared = new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT);
  const words = new Int32Array(shared);
  const data: WatchdogData = { shared, bus };
  const thread = new Worker(new URL('./watchdog-thread.ts', import.meta.url), { workerData: data });
  thread.unref();
  let slots = 0;
  let evaluations = 0;
  return {
    watched: (tenant, digest, evaluate) => {
      const slot = (slots += 1);
      thread.postMessage({ slot, tenant, digest } satisfies Watched);
      return (input, timeMs) => {
        evaluations = (evaluations % 0x7fff_fffe) + 1;
        words[1] = slot;
        Atomics.store(words, 0, evaluations);
        try {
          return evaluate(input, timeMs);
        } finally {
          Atomics.store(words, 0, 0);
        }
      };
    },
    close: async () => void (await thread.terminate()),
  };
}

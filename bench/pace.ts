// A fixed arrival rate. Node's timers are a millisecond coarse, and spinning would take the core that is measured:
// a thread sleeps on a futex until each send is due (some 0.03 ms late) and wakes this one.

import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

/** Milliseconds of the one monotonic clock that all threads share. */
export const clock = (): number => Number(process.hrtime.bigint()) / 1e6;

export interface Schedule {
  /** Int32: 0 = the futex to sleep on, 1 = how many wakes there were. */
  readonly shared: SharedArrayBuffer;
  readonly startMs: number;
  readonly gapMs: number;
  readonly count: number;
}

const LEAD_MS = 50;

/**
 * Calls `send` once for each arrival with the time when it should have left, however late that is: whoever measures
 * from that time omits nothing. Resolves after the last one.
 */
export async function pace(
  perSecond: number,
  seconds: number,
  send: (intendedMs: number) => void,
): Promise<void> {
  const gapMs = 1_000 / perSecond;
  const count = Math.round(perSecond * seconds);
  const shared = new SharedArrayBuffer(8);
  const words = new Int32Array(shared);
  const thread = new Worker(new URL('./pace-thread.ts', import.meta.url));
  await new Promise((resolve) => thread.once('message', resolve)); // its start takes longer than the lead
  const startMs = clock() + LEAD_MS;
  thread.postMessage({ shared, startMs, gapMs, count } satisfies Schedule);
  let sent = 0;
  let woken = 0;
  while (sent < count) {
    const wake = Atomics.waitAsync(words, 1, woken);
    if (wake.async) await wake.value;
    woken = Atomics.load(words, 1);
    const now = clock();
    for (; sent < count && startMs + sent * gapMs <= now; sent += 1) send(startMs + sent * gapMs);
  }
  await Promise.race([thread.terminate(), sleep(1_000)]);
}

/** The thread behind watchdog.ts. It has its own connection to the broker, opened only in the emergency. */
import { setInterval } from 'node:timers';
import { parentPort, workerData } from 'node:worker_threads';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { connectBus } from '#host/nats.ts';

import { EVALUATION_MS_MAX, type Watched, type WatchdogData } from './watchdog.ts';

const LOOK_MS = 100;
/** The process dies at the latest after this, marked or not. */
const MARK_MS_MAX = 3_000;

// Given by startWatchdog alone.
const { shared, bus } = workerData as WatchdogData;
const words = new Int32Array(shared);
const watched = new Map<number, Watched>();
parentPort?.on('message', (policy: Watched) => watched.set(policy.slot, policy));

let seen = 0;
let since = 0;
const looking = setInterval(() => {
  const running = Atomics.load(words, 0);
  if (running === 0 || running !== seen) {
    seen = running;
    since = performance.now();
  } else if (performance.now() - since > EVALUATION_MS_MAX) {
    clearInterval(looking);
    void end(watched.get(words[1] ?? 0));
  }
}, LOOK_MS);

async function end(policy: Watched | undefined): Promise<void> {
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), MARK_MS_MAX);
  if (policy !== undefined) {
    const { tenant, digest } = policy;
    const connection = await connectBus(bus);
    const control = await connection.bucket('control');
    const entry = { sequence: 0, at: Date.now(), value: { digest } };
    await control.put(CONTROL_KEYS.runaway(tenant, digest), JSON.stringify(entry));
  }
  process.kill(process.pid, 'SIGKILL');
}

/** The thread behind watchdog.ts. It has its own connection to the broker, opened only in the emergency. */
import { setInterval } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';
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
/** Looks at the same evaluation. Looks, not time: a process that was stopped or starved had no looks either. */
let looks = 0;
const looking = setInterval(() => {
  const running = Atomics.load(words, 0);
  looks = running !== 0 && running === seen ? looks + 1 : 0;
  seen = running;
  if (looks * LOOK_MS <= EVALUATION_MS_MAX) return;
  clearInterval(looking);
  void end(watched.get(words[1] ?? 0));
}, LOOK_MS);

/** Nothing may keep the process: not a broker that is away, and not what this thread could throw. */
async function end(policy: Watched | undefined): Promise<void> {
  const marking = policy === undefined ? undefined : mark(policy).catch(() => undefined);
  await Promise.race([marking, sleep(MARK_MS_MAX)]);
  process.kill(process.pid, 'SIGKILL');
}

async function mark({ tenant, digest }: Watched): Promise<void> {
  const connection = await connectBus(bus);
  const control = await connection.bucket('control');
  const entry = { sequence: 0, at: Date.now(), value: { digest } };
  await control.put(CONTROL_KEYS.runaway(tenant, digest), JSON.stringify(entry));
}

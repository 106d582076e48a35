// The thread behind pace.ts: sleeps until each arrival, wakes the other side.

import { parentPort } from 'node:worker_threads';

import { clock, type Schedule } from './pace.ts';

parentPort?.once('message', ({ shared, startMs, gapMs, count }: Schedule) => {
  const words = new Int32Array(shared);
  for (let wake = 0; wake <= count; wake += 1) {
    const wait = startMs + wake * gapMs - clock();
    if (wait > 0) Atomics.wait(words, 0, 0, wait);
    Atomics.add(words, 1, 1);
    Atomics.notify(words, 1);
  }
});
parentPort?.postMessage('ready');

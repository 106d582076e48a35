// A process inside an evaluation under the watchdog, for tests that stop it or take its broker away. Prints `inside`
// when it is in the evaluation and `done` after it. Arguments: broker, `endless` or `stopped`: until it was stopped for
// a second and a little after that.

import { writeSync } from 'node:fs';

import { startWatchdog } from '../../services/decision-worker/points/watchdog.ts';

const [url = '', mode = 'endless'] = process.argv.slice(2);
const STOPPED_MS = 1_000;
const AFTER_MS = 250;

function untilStopped(): void {
  for (let last = performance.now(), gap = 0; gap < STOPPED_MS;) {
    const now = performance.now();
    gap = now - last;
    last = now;
  }
  for (const end = performance.now() + AFTER_MS; performance.now() < end;);
}

const watchdog = startWatchdog({ url, user: '', passwordFile: '', monitorUrl: url });
const evaluate = watchdog.watched('acme', 'sha256:0', () => {
  writeSync(1, 'inside\n');
  if (mode === 'stopped') untilStopped();
  else for (;;);
});
setTimeout(() => {
  evaluate(new Uint8Array(), 0);
  writeSync(1, 'done\n');
  void watchdog.close();
}, 300);

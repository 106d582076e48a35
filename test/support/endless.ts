// A process whose policy never ends, as the watchdog's thread meets it. Arguments: broker, password file, monitor, digest.

import { startWatchdog } from '../../services/decision-worker/points/watchdog.ts';

const [url = '', passwordFile = '', monitorUrl = '', digest = ''] = process.argv.slice(2);
const watchdog = startWatchdog({ url, user: 'decision-worker', passwordFile, monitorUrl });
const evaluate = watchdog.watched('acme', digest, () => {
  for (;;);
});
// The thread learns the policy's name by a message: let it arrive before this thread is lost.
setTimeout(() => evaluate(new Uint8Array(), 0), 300);

// The smallest process that a supervisor can run: ready on its health port, ends in order on SIGTERM, appends what
// happens to it to a file. Environment: COUNTERSIGN_HEALTH_PORT, STAND_IN_NAME, STAND_IN_DIARY, STAND_IN_CRASH.

import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';

const write = (event: string): void => {
  appendFileSync(process.env['STAND_IN_DIARY']!, `${process.env['STAND_IN_NAME']} ${event}\n`);
};

if (process.env['STAND_IN_CRASH'] === 'at start') {
  process.stderr.write('the stand-in was told to crash\n');
  process.exit(1);
}
const server = createServer((_request, response) => response.end('{"ready":true}'));
server.listen(Number(process.env['COUNTERSIGN_HEALTH_PORT']), '127.0.0.1', () => write('started'));
for (const signal of ['SIGTERM', 'SIGINT', 'disconnect'] as const) {
  process.on(signal, () => {
    write(`ended by ${signal}`);
    process.exit(0);
  });
}

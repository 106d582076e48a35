// Free TCP ports on loopback. Ours lie below the range from which the system takes ports for outgoing
// connections, so a server that is restarted finds its port free again.

import { createServer } from 'node:net';

const LOWEST = 20_000;
const HIGHEST = 31_999;

/** True when nothing listens on this loopback port. */
export async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () =>
      server.close(() => resolve(true)),
    );
  });
}

/** The first free port from `preferred` upwards that is not in `taken`. */
export async function freePortFrom(preferred: number, taken: ReadonlySet<number>): Promise<number> {
  for (let port = preferred; port <= HIGHEST; port += 1) {
    if (!taken.has(port) && (await isFree(port))) return port;
  }
  throw new Error(`no free port between ${preferred} and ${HIGHEST}`);
}

/** A free port somewhere in our range: two callers at once hardly meet. */
export async function anyFreePort(taken: ReadonlySet<number> = new Set()): Promise<number> {
  const start = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST - 500));
  return freePortFrom(start, taken);
}

/** /healthz, /readyz (with reasons) and /metrics of a process, on loopback. */
import { createServer } from 'node:http';

import { metricsText } from './metrics.ts';
import { listening } from './posted.ts';

/** One condition of readiness: empty = met, else a sentence for the operator. */
export type Condition = () => string;

export interface Health {
  readonly port: number;
  readonly close: () => Promise<void>;
}

/** What /readyz answers. */
export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly string[];
  readonly [detail: string]: unknown;
}

/** Serves health on 127.0.0.1. `details` adds facts to /readyz, such as the durability class. */
export async function serveHealth(
  port: number,
  conditions: Readonly<Record<string, Condition>>,
  details: () => Readonly<Record<string, unknown>> = () => ({}),
): Promise<Health> {
  const readiness = (): Readiness => {
    const reasons = Object.entries(conditions)
      .map(([name, condition]) => [name, condition()] as const)
      .filter(([, reason]) => reason !== '')
      .map(([name, reason]) => `${name}: ${reason}`);
    return { ready: reasons.length === 0, reasons, ...details() };
  };
  const server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string) =>
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
    if (request.url === '/healthz') answer(200, 'application/json', '{"status":"ok"}\n');
    else if (request.url === '/readyz') {
      const now = readiness();
      answer(now.ready ? 200 : 503, 'application/json', `${JSON.stringify(now)}\n`);
    } else if (request.url === '/metrics') {
      void metricsText().then((text) => answer(200, 'text/plain; version=0.0.4', text));
    } else answer(404, 'text/plain', 'not found\n');
  });
  return {
    port: await listening(server, '127.0.0.1', port),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

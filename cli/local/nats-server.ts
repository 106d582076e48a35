// Starts one nats-server with a configuration file and waits until its JetStream answers.

import { startProcess, waitUntilReady } from './process.ts';
import type { OwnedProcess } from './process.ts';
import { whyNotReady } from './readiness.ts';

export interface NatsServerOptions {
  readonly binary: string;
  readonly configFile: string;
  /** Values that the configuration file takes from the server's environment (`$NAME`). */
  readonly env: Readonly<Record<string, string>>;
  /** Base address of its HTTP monitoring, as the configuration sets it. */
  readonly monitorUrl: string;
  readonly logFile: string;
}

/** A store of many gigabytes is read at start; beyond this something is wrong. */
const READY_MS_MAX = 60_000;

/** Gives the running server, ready. Throws CliError with its last log lines. */
export async function startNatsServer(options: NatsServerOptions): Promise<OwnedProcess> {
  const server = await startProcess({
    name: 'nats',
    command: options.binary,
    args: ['--config', options.configFile],
    env: { ...options.env },
    logFile: options.logFile,
  });
  try {
    await waitUntilReady(server, () => whyNotReady(`${options.monitorUrl}/healthz`), {
      boundMs: READY_MS_MAX,
    });
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

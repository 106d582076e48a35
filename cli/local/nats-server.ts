// Starts one nats-server with a configuration file and waits until its JetStream answers.

import { startProcess, waitUntil } from './process.ts';
import type { OwnedProcess } from './process.ts';

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
    await waitUntil(server, () => answersOk(`${options.monitorUrl}/healthz`), READY_MS_MAX);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** True when the address answers 2xx within a second. */
export async function answersOk(url: string): Promise<boolean> {
  return fetch(url, { signal: AbortSignal.timeout(1_000) }).then(
    async (response) => {
      await response.arrayBuffer();
      return response.ok;
    },
    () => false,
  );
}

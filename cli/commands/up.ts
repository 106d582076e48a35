// `up`: starts the local demo, in this terminal or in the background, and says what to try.

import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';

import { seedDemo } from '#cli/demo/seed.ts';
import { announce } from '#cli/local/announcement.ts';
import { startInBackground, tellParent } from '#cli/local/background.ts';
import { systemFolder } from '#cli/local/places.ts';
import { readState, supervisorOf, waitForSystem } from '#cli/local/run-state.ts';
import { statusOf } from '#cli/local/status.ts';
import { startSystem } from '#cli/local/system.ts';
import { CliError, printJson, progress } from '#cli/output.ts';
import { addVerb } from '#cli/verb.ts';

interface UpOptions {
  readonly detach?: true;
  readonly json?: true;
  readonly ingressPort?: number;
  readonly adminPort?: number;
}

export function register(program: Command): void {
  addVerb(program, 'up', {
    short: 'Start the local demo and say what to try.',
    summary: 'Start the local demo: broker, database, services, a shop to call. Loopback only.',
    examples: [
      ['npm run up', 'in this terminal, until Ctrl-C'],
      ['npm run up -- --detach', 'in the background; returns when it is ready'],
      ['npm run up -- --ingress-port 9000', 'with a port of your choice'],
    ],
  })
    .option('-d, --detach', 'return when it is ready and leave it running')
    .option('--ingress-port <port>', 'port for the agents; an error when it is taken', asPort)
    .option('--admin-port <port>', 'port for the operators; an error when it is taken', asPort)
    .action(up);
}

async function up(options: UpOptions): Promise<void> {
  const dir = systemFolder();
  const running = await supervisorOf(dir);
  if (running !== undefined) {
    progress(`it already runs (process ${running.pid})`);
    await waitForSystem(dir);
    await tell(dir, options);
  } else if (options.detach === true) {
    await startInBackground(dir, portArguments(options));
    await tell(dir, options);
  } else {
    await supervise(dir, options);
  }
}

/** Runs the system in this process until a signal. */
async function supervise(dir: string, options: UpOptions): Promise<void> {
  const end = new AbortController();
  const asked = new CliError('stopped before it was ready');
  // A further Ctrl-C changes nothing: every step of a stop has a bound of its own.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => end.abort(asked));
  }
  // A defect of ours must not leave the system without its supervisor: stop in order, then tell.
  process.on('uncaughtException', (defect) => end.abort(defect));
  const parent = tellParent();
  try {
    const system = await startSystem({
      dir,
      signal: end.signal,
      demandedPorts: demandedPorts(options),
      seed: seedDemo,
      onProgress: (line) => {
        progress(line);
        parent.progress(line);
      },
    });
    if (!parent.waits) await tell(dir, options);
    parent.ready();
    await aborted(end.signal);
    await system.stop();
    progress('stopped');
    if (end.signal.reason !== asked) throw end.signal.reason;
  } catch (error) {
    parent.failed(error);
    throw error;
  }
}

async function tell(dir: string, options: UpOptions): Promise<void> {
  if (options.json === true) printJson(await statusOf(dir));
  else announce(readState(dir));
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function demandedPorts({ ingressPort, adminPort }: UpOptions): Record<string, number> {
  return {
    ...(ingressPort === undefined ? {} : { ingress: ingressPort }),
    ...(adminPort === undefined ? {} : { admin: adminPort }),
  };
}

function portArguments(options: UpOptions): string[] {
  return Object.entries(demandedPorts(options)).flatMap(([name, port]) => [
    `--${name}-port`,
    String(port),
  ]);
}

function asPort(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('A port is a number from 1 to 65535.');
}

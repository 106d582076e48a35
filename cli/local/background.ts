// `up --detach`: the same `up` in a session of its own, telling its parent what happens until it is ready.

import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';

import { CliError, progress } from '#cli/output.ts';

import { CHECKOUT, placesIn } from './places.ts';
import { makeSystemFolder } from './system-folder.ts';

type News =
  | { readonly progress: string }
  | { readonly ready: true }
  | { readonly error: string; readonly help: string | undefined };

/** Starts the supervisor in the background; returns when the system is ready. Throws CliError when it fails. */
export async function startInBackground(dir: string, args: readonly string[]): Promise<void> {
  makeSystemFolder(dir);
  const logFile = join(placesIn(dir).log, 'supervisor.log');
  const log = openSync(logFile, 'a');
  const child = spawn(process.execPath, [join(CHECKOUT, 'cli', 'main.ts'), 'up', ...args], {
    detached: true,
    cwd: CHECKOUT,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  const passOn = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on('SIGINT', passOn);
  process.on('SIGTERM', passOn);
  await new Promise<void>((resolve, reject) => {
    child.on('message', (news: News) => {
      if ('progress' in news) progress(news.progress);
      else if ('ready' in news) resolve();
      else reject(new CliError(news.error, news.help === undefined ? {} : { help: news.help }));
    });
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(
        new CliError(`the supervisor ended while starting (exit code ${code})`, {
          help: `its log is ${logFile}`,
        }),
      ),
    );
  });
  process.off('SIGINT', passOn);
  process.off('SIGTERM', passOn);
  child.disconnect();
  child.unref();
}

/** For the supervisor: its parent, if one waits. A parent that has gone is no reason to stop. */
export function tellParent() {
  const waits = process.send !== undefined;
  const send = (news: News): void => {
    if (process.connected) process.send?.(news);
  };
  return {
    waits,
    progress: (line: string) => send({ progress: line }),
    ready: () => send({ ready: true }),
    failed: (error: unknown) =>
      send({
        error: error instanceof Error ? error.message : String(error),
        help: error instanceof CliError ? error.help : undefined,
      }),
  };
}

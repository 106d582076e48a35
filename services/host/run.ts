/** What every process runs in: start, signals, drain in reverse order, exit codes. */
import { ConfigError } from './config.ts';
import type { Logger } from './log.ts';

/** A started process part that can be stopped: takes no new work, finishes what it holds, then resolves. */
export interface Running {
  readonly stop: () => Promise<void>;
}

const DRAIN_MS = 8_000;
const EX_CONFIG = 78;

/** Collects what was opened, so that stop closes it in reverse order even when start failed half way. */
export function closers(log: Logger): {
  readonly add: (name: string, close: () => unknown) => void;
  readonly closeAll: () => Promise<void>;
} {
  const opened: { name: string; close: () => unknown }[] = [];
  return {
    add: (name, close) => void opened.push({ name, close }),
    closeAll: async () => {
      for (const { name, close } of opened.splice(0).reverse()) {
        try {
          await close();
        } catch (error) {
          log.warn({ err: error, part: name }, 'did not close cleanly');
        }
      }
    },
  };
}

/** Starts a process and binds its life to SIGTERM and SIGINT. Exit codes: 0 stopped, 78 configuration, 1 anything else. */
export async function run(start: () => Promise<Running>): Promise<void> {
  const running = await start().catch((error: unknown) => {
    process.stderr.write(
      `${error instanceof ConfigError ? error.message : String((error as Error).stack ?? error)}\n`,
    );
    process.exit(error instanceof ConfigError ? EX_CONFIG : 1);
  });
  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(1), DRAIN_MS).unref();
    void running.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // A supervisor that was killed must not leave its children behind: with an IPC channel its end is seen at once.
  process.on('disconnect', stop);
}

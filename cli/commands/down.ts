// `down`: stops the local system in order; also cleans up after a supervisor that was killed.

import type { Command } from 'commander';

import { systemFolder } from '#cli/local/places.ts';
import {
  clearRun,
  endLeftovers,
  endProcess,
  readState,
  supervisorOf,
} from '#cli/local/run-state.ts';
import { print, printJson, progress } from '#cli/output.ts';
import { addVerb } from '#cli/verb.ts';

/** The supervisor stops one process after the other, each within ten seconds. */
const STOP_MS_MAX = 120_000;

export function register(program: Command): void {
  addVerb(program, 'down', {
    summary: 'Stop the local system; its data stays.',
    examples: [['npm run down', 'everything stops in order, callers first']],
  }).action(down);
}

async function down(options: { readonly json?: true }): Promise<void> {
  const dir = systemFolder();
  const supervisor = await supervisorOf(dir);
  const names = (readState(dir)?.processes ?? []).map(({ name }) => name);
  let stopped: string[] = [];
  if (supervisor !== undefined) {
    progress(`stopping ${names.toReversed().join(', ')}`);
    await endProcess(supervisor, Date.now() + STOP_MS_MAX);
    stopped = names;
  }
  // What is left now had lost its supervisor.
  stopped = [...new Set([...stopped, ...(await endLeftovers(dir))])];
  clearRun(dir);
  if (options.json === true) printJson({ stopped });
  else print(stopped.length === 0 ? 'nothing was running' : `stopped; the data stays in ${dir}`);
}

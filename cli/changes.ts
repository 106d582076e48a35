// How a change is told: what was done, at which revision, and whether workers know it already.

import type { Changed } from '#contracts/admin-bodies.ts';

import type { Reach } from './client.ts';
import { paint, print, printJson } from './output.ts';

/** Tells a change in one line; the whole answer for `--json`. */
export function tellChange(options: Reach, answer: unknown, done: string): void {
  if (options.json === true) {
    printJson(answer);
    return;
  }
  // Every change is answered so (contracts/admin-bodies.ts).
  const { revision, visible } = answer as Changed;
  print(done);
  const state = visible ? 'recorded and in force' : 'recorded, on its way to the workers';
  print(paint('dim', `  revision  ${revision}   ${state}`));
}

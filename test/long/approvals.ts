// Held calls that thirty-two race for, with crashes at every step: no call is ever released twice.

import { runRaces } from '#test/support/approval-races.ts';

import type { Job } from './main.ts';
import { dice } from './random.ts';

export const approvals: Job = async ({ runs, seed, onProgress }) => {
  const { roll } = dice(seed);
  const raced = await runRaces(runs, roll, ({ done, released, faults }) =>
    onProgress(done, `${released} released, ${faults.length} faults`),
  );
  const { faults, released, steps, events, uses, untold } = raced;
  if (faults.length > 0) throw new Error(`${faults.length} faults: ${[...new Set(faults)].join()}`);
  if (uses !== released || events !== steps || untold > 0)
    throw new Error(`what is stored is not what was seen: ${JSON.stringify(raced)}`);
  // Else they were no races.
  if (released * 20 < runs || released === runs) throw new Error(`${released} were released`);
  return `${released} released, each once, no other`;
};

// `npm run test:long`: the properties and races of `npm test` as often as the promises name, with progress and a summary.
// Options: --only chains,mutations,races,approvals  --share 0.1 (of the runs)  --seed 7. Exit 1 when one of them is broken.

import { setImmediate as turn } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { print, printTable } from '#cli/output.ts';

import { approvals } from './approvals.ts';
import { chains, mutations } from './capabilities.ts';
import { races } from './races.ts';

/** Runs a property so often; says in a line what was seen. @throws on a counterexample */
export type Job = (given: {
  readonly runs: number;
  readonly seed: number;
  /** To be awaited after each run. @param seen so far, in a few words */
  readonly onProgress: (done: number, seen?: string) => Promise<void> | void;
}) => Promise<string>;

const JOBS: Readonly<Record<string, { readonly job: Job; readonly runs: number }>> = {
  chains: { job: chains, runs: 1_000_000 },
  mutations: { job: mutations, runs: 10_000_000 },
  races: { job: races, runs: 1_000_000 },
  approvals: { job: approvals, runs: 100_000 },
};
const TELL_MS = 10_000;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(JOBS).join(',') },
    share: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});

const summary: string[][] = [];
for (const name of values.only.split(',')) {
  const found = JOBS[name];
  if (found === undefined) throw new Error(`no job ${name}; there are ${Object.keys(JOBS).join()}`);
  const runs = Math.ceil(found.runs * Number(values.share));
  const startedAt = performance.now();
  const seconds = () => ((performance.now() - startedAt) / 1_000).toFixed(0);
  let told = startedAt;
  const onProgress = (done: number, seen = ''): Promise<void> | void => {
    if (performance.now() - told < TELL_MS) return;
    told = performance.now();
    print(`${name}: ${done} of ${runs}, ${seconds()} s${seen === '' ? '' : `, ${seen}`}`);
    return turn();
  };
  const given = { runs, seed: Number(values.seed), onProgress };
  const end = await found.job(given).catch((error: unknown) => {
    process.exitCode = 1;
    return `BROKEN: ${String(error)}`;
  });
  print(`${name}: ${end}`);
  summary.push([name, String(runs), seconds(), end]);
}
print(`seed ${values.seed}`);
printTable(summary, ['', 'runs', 'seconds', '']);

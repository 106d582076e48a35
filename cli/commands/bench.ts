// `npm run bench`: the speed of the whole system beside its floor and OPA's own server (bench/).

import type { Command } from 'commander';

import { runScript } from '#cli/local/run-script.ts';
import { addVerb } from '#cli/verb.ts';

export function register(program: Command): void {
  // What stands behind the row's name is bench/main.ts's own, `--json FILE` too.
  program.enablePositionalOptions();
  addVerb(program, 'bench [options...]', {
    short: 'Measure it against its own floor on this machine.',
    summary: 'Measure the system of this checkout; options go to bench/main.ts.',
    examples: [['npm run bench', 'a table of ratios, and the figures as JSON in a file']],
  })
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (rest: string[], options: { readonly json?: true }) => {
      const args = options.json === true ? ['--json', ...rest] : rest;
      process.exitCode = await runScript('bench/main.ts', args);
    });
}

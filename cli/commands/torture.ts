// `npm run torture`: kills and power cuts for as long as one likes (test/torture/).

import type { Command } from 'commander';

import { runScript } from '#cli/local/run-script.ts';
import { addVerb } from '#cli/verb.ts';

export function register(program: Command): void {
  addVerb(program, 'torture [options...]', {
    short: 'Kill every process under load; compare with the chain.',
    summary:
      'Kill every process of a system under load, and cut its power, as root; compare with the chain.',
    examples: [
      [
        'npm run torture -- --minutes 5',
        'figures, and as JSON in a file; exit 1 when anything is lost',
      ],
    ],
  })
    .allowUnknownOption()
    .action(async (rest: string[], options: { readonly json?: true }) => {
      const args = options.json === true ? ['--json', ...rest] : rest;
      process.exitCode = await runScript('test/torture/main.ts', args);
    });
}

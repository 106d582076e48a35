// `npm run conformance`: the official MCP suite, direct and with the gateway in front (cli/conformance/).

import type { Command } from 'commander';

import { runScript } from '#cli/local/run-script.ts';
import { addVerb } from '#cli/verb.ts';

export function register(program: Command): void {
  addVerb(program, 'conformance', {
    short: 'Run the official MCP suite, directly and through the gateway.',
    summary: 'Run the official MCP conformance suite directly and through the gateway.',
    examples: [
      ['npm run conformance', 'both numbers for both eras'],
      ['npm run conformance -- --json', 'the same for tools'],
    ],
  }).action(async (options: { readonly json?: true }) => {
    const args = options.json === true ? ['--json'] : [];
    process.exitCode = await runScript('cli/conformance/main.ts', args);
  });
}

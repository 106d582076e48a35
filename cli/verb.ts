// What every verb of the command line has: one sentence, at least one example in its help, and `--json`.

import type { Command } from 'commander';

export interface VerbText {
  readonly summary: string;
  /** Complete commands to paste, each with what it is for. */
  readonly examples: readonly (readonly [command: string, purpose: string])[];
}

/** Adds a verb with its help. `usage` names it and its arguments, as commander reads them: `show <id>`. */
export function addVerb(parent: Command, usage: string, text: VerbText): Command {
  const width = Math.max(...text.examples.map(([command]) => command.length));
  const lines = text.examples.map(
    ([command, purpose]) => `  ${command.padEnd(width)}   ${purpose}`,
  );
  return parent
    .command(usage)
    .description(text.summary)
    .option('--json', 'print the result as JSON')
    .addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

// What every verb of the command line has: one sentence, at least one example in its help, and `--json`.

import type { Command } from 'commander';

export interface VerbText {
  readonly summary: string;
  /** For the list of verbs, where the summary is too long for a line. */
  readonly short?: string;
  /** Complete commands to paste, each with what it is for. */
  readonly examples: readonly (readonly [command: string, purpose: string])[];
}

/** In lists of verbs: a verb and its arguments, without saying of each that it has options. */
const PLAIN_TERMS = {
  subcommandTerm: (verb: Command): string =>
    `${verb.name()} ${verb.usage()}`.replaceAll(/ \[(options|command)\]/g, ''),
};

/** Adds a word that only groups verbs: `facts` for `facts put`. */
export function addGroup(parent: Command, name: string, text: VerbText): Command {
  return parent
    .command(name)
    .description(text.summary)
    .summary(text.short ?? text.summary)
    .configureHelp(PLAIN_TERMS)
    .addHelpText('after', examplesOf(text))
    .helpCommand(false);
}

/** Adds a verb with its help. `usage` names it and its arguments, as commander reads them: `show <id>`. */
export function addVerb(parent: Command, usage: string, text: VerbText): Command {
  return parent
    .command(usage)
    .description(text.summary)
    .summary(text.short ?? text.summary)
    .option('--json', 'print the result as JSON')
    .addHelpText('after', examplesOf(text));
}

function examplesOf({ examples }: VerbText): string {
  const width = Math.max(...examples.map(([command]) => command.length));
  const lines = examples.map(([command, purpose]) => `  ${command.padEnd(width)}   ${purpose}`);
  return `\nExamples:\n${lines.join('\n')}`;
}

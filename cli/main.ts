// The command line `./countersign`: one verb per file in commands/, exit codes 0 ok, 1 finding, 2 misuse, 3 could not run.

import { Command, CommanderError } from 'commander';

import { withNextStep } from '#cli/next-step.ts';
import { CliError, EXIT, reportError } from '#cli/output.ts';

import { register as agent } from './commands/agent.ts';
import { register as approvals } from './commands/approvals.ts';
import { register as attenuate } from './commands/attenuate.ts';
import { register as audit } from './commands/audit.ts';
import { register as backup } from './commands/backup.ts';
import { register as bench } from './commands/bench.ts';
import { register as budget } from './commands/budget.ts';
import { register as call } from './commands/call.ts';
import { register as compat } from './commands/compat.ts';
import { register as conformance } from './commands/conformance.ts';
import { register as doctor } from './commands/doctor.ts';
import { register as down } from './commands/down.ts';
import { register as exception } from './commands/exception.ts';
import { register as facts } from './commands/facts.ts';
import { register as issuer } from './commands/issuer.ts';
import { register as kill } from './commands/kill.ts';
import { register as mint } from './commands/mint.ts';
import { register as mode } from './commands/mode.ts';
import { register as notify } from './commands/notify.ts';
import { register as operator } from './commands/operator.ts';
import { register as policy } from './commands/policy.ts';
import { register as rebuild } from './commands/rebuild.ts';
import { register as receipt } from './commands/receipt.ts';
import { register as replay } from './commands/replay.ts';
import { register as revoke } from './commands/revoke.ts';
import { register as status } from './commands/status.ts';
import { register as test } from './commands/test.ts';
import { register as tools } from './commands/tools.ts';
import { register as torture } from './commands/torture.ts';
import { register as up } from './commands/up.ts';
import { register as upstream } from './commands/upstream.ts';
import { register as whoami } from './commands/whoami.ts';
import { register as witness } from './commands/witness.ts';

/** Every verb under what a person wants when he looks for it. */
const GROUPS: readonly (readonly [heading: string, readonly ((program: Command) => void)[]])[] = [
  ['Run it here:', [up, down, status, doctor]],
  ['As an agent:', [call, whoami, attenuate, receipt]],
  ['Stop something now:', [kill, revoke]],
  ['Answer what waits:', [approvals, notify]],
  ['Say what is allowed:', [policy, facts, mint, budget, mode, exception]],
  ['Register who and what:', [operator, issuer, agent, upstream, tools, compat]],
  ['Find out and prove:', [audit, replay, witness]],
  ['Keep it whole:', [backup, rebuild]],
  ['Try this checkout:', [test, conformance, bench, torture]],
];

function commandLine(): Command {
  const program = new Command('countersign')
    .description("Decides whether an AI agent's tool call may run, and proves afterwards why.")
    .usage('<verb> [options]')
    .helpCommand(false)
    // Names alone: what a verb takes, its own help says.
    .configureHelp({ subcommandTerm: (verb) => verb.name() })
    // Errors are told once, by reportError; commander would print its own beside it.
    .configureOutput({ outputError: () => {} })
    .exitOverride()
    .addHelpText(
      'after',
      [
        '',
        'Examples:',
        '  npm run up                        start the local demo and see three commands to paste',
        '  ./countersign status              every address, process and version',
        '  ./countersign doctor              what is missing, and the command that fixes it',
        '',
        'Exit codes:',
        '  0  ok',
        '  1  finding: it ran and has bad news (a call refused, a chain tampered with, a part not ready)',
        '  2  misuse: the command line is wrong',
        '  3  could not run: the system is stopped, out of reach or refuses you',
        '  4  incomplete: only `audit verify --export`, when rows are missing',
      ].join('\n'),
    );
  for (const [heading, verbs] of GROUPS) {
    program.commandsGroup(heading);
    for (const register of verbs) register(program);
  }
  return program;
}

/** Runs one command and gives its exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const json = args.includes('--json');
  const program = commandLine();
  try {
    await program.parseAsync([...args], { from: 'user' });
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    const words = wordsOf(program, args);
    if (!(error instanceof CommanderError)) return reportError(withNextStep(error, words), json);
    if (error.exitCode === 0) return EXIT.ok;
    // No verb: commander has shown the help already.
    if (error.code === 'commander.help') return EXIT.misuse;
    return reportError(misuse(error, words), json);
  }
}

/** The words that lead to the verb that was meant, as far as they are right: `policy put`. */
function wordsOf(program: Command, args: readonly string[]): string[] {
  const words: string[] = [];
  for (let verb = program, at = 0; at < args.length; at++) {
    const next = verb.commands.find((each) => each.name() === args[at]);
    if (next === undefined) break;
    words.push(next.name());
    verb = next;
  }
  return words;
}

/** Wrong usage in our own words: commander's message, and the help of the verb that was meant. */
function misuse(error: CommanderError, words: readonly string[]): CliError {
  const [said = '', guess = ''] = error.message.replace(/^error: /, '').split('\n');
  const nearest = /^\(Did you mean (?:one of )?([\w-]+)/.exec(guess)?.[1];
  const wrongVerb = error.code === 'commander.unknownCommand';
  const verb = [...words, ...(wrongVerb && nearest !== undefined ? [nearest] : [])];
  const message = wrongVerb ? said.replace('unknown command', 'there is no verb') : said;
  return new CliError([message, guess].join(' ').trim(), {
    exitCode: EXIT.misuse,
    help: ['./countersign', ...verb, '--help'].join(' '),
  });
}

if (import.meta.main) {
  // Whoever reads only the beginning (`| head`) has what they want.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(process.exitCode ?? EXIT.ok);
  });
  process.exitCode = await main(process.argv.slice(2));
}

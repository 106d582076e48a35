// `budget`: how many calls a tenant and its agents may make in a window.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { jsonGiven, repeated } from '#cli/given.ts';
import { CliError, EXIT, print, printJson, printTable } from '#cli/output.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { Budgets, Ceiling } from '#contracts/control.ts';

interface PutOptions extends Reach {
  readonly ceiling?: string[];
}

export function register(program: Command): void {
  const budget = addGroup(program, 'budget', {
    summary: 'Ceilings of calls per minute, hour, day and month: put, show.',
    examples: [['./countersign budget show', 'the ceilings of a tenant']],
  });
  reachable(
    addVerb(budget, 'put [json]', {
      summary: 'Set all ceilings, from options, JSON or @file. None = no ceiling.',
      examples: [
        ['./countersign budget put --ceiling agent=100/hour', 'for each agent by itself'],
        [
          './countersign budget put --ceiling agent:shop-agent=5/minute --ceiling tenant=10000/day',
          'for one agent, and for all together',
        ],
      ],
    }),
  )
    .option('--ceiling <ceiling>', 'tenant|agent|agent:ID=CALLS/WINDOW; repeat for more', repeated)
    .action(async (json: string | undefined, options: PutOptions) => {
      const ceilings = (options.ceiling ?? []).map(ceilingGiven);
      const body = json === undefined ? { ceilings } : jsonGiven(json);
      const answer = await adminClient(options).tenantCall('PUT', 'budgets', body);
      tellChange(options, answer, 'ceilings set');
    });
  reachable(
    addVerb(budget, 'show', {
      summary: 'Show the ceilings.',
      examples: [['./countersign budget show', 'as a table']],
    }),
  ).action(show);
}

async function show(options: Reach): Promise<void> {
  const { value } = (await adminClient(options).tenantCall('GET', 'budgets')) as { value: Budgets };
  if (options.json === true) printJson(value);
  else if (value.ceilings.length === 0) print('there are none');
  else {
    printTable(
      value.ceilings.map(({ scope, agent, window, calls }) => [
        scope === 'tenant' ? 'the tenant' : (agent ?? 'each agent'),
        String(calls),
        window,
      ]),
      ['for', 'calls', 'per'],
    );
  }
}

/** `agent:shop-agent=5/minute` as a ceiling; what it may say is the admin API's to judge. */
function ceilingGiven(text: string): Ceiling {
  const match = /^(tenant|agent)(?::(.+))?=(\d+)\/(minute|hour|day|month)$/.exec(text);
  if (match === null) {
    throw new CliError(`"${text}" is not a ceiling.`, {
      exitCode: EXIT.misuse,
      help: 'write tenant=1000/day, agent=100/hour or agent:ID=5/minute',
    });
  }
  const [, scope, agent, calls, window] = match;
  return {
    scope: scope as Ceiling['scope'],
    window: window as Ceiling['window'],
    calls: Number(calls),
    ...(agent === undefined ? {} : { agent }),
  };
}

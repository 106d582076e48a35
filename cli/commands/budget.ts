// `budget`: how much a tenant, its agents, their sessions and tasks may call and spend in a window.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { jsonGiven, repeated } from '#cli/given.ts';
import { CliError, EXIT, print, printJson, printTable } from '#cli/output.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import { microUnits } from '#contracts/budget.ts';
import type { Budgets, Ceiling, RunawayRule } from '#contracts/ceilings.ts';

interface PutOptions extends Reach {
  readonly ceiling?: string[];
  readonly runaway?: string[];
  readonly none?: true;
}

export function register(program: Command): void {
  const budget = addGroup(program, 'budget', {
    short: 'Set and show ceilings of calls and cost.',
    summary: 'Ceilings of calls and cost per minute, hour, day and month: put, show.',
    examples: [['./countersign budget show', 'the ceilings of a tenant']],
  });
  reachable(
    addVerb(budget, 'put [json]', {
      summary: 'Set all ceilings, from options, JSON or @file: what is not named is lifted.',
      examples: [
        ['./countersign budget put --ceiling agent=100/hour', 'for each agent by itself'],
        [
          './countersign budget put --ceiling agent:shop-agent=5/minute --ceiling tenant=10000/day',
          'for one agent, and for all together',
        ],
        [
          './countersign budget put --ceiling tenant=cost:50/day --ceiling session=200/hour',
          "50 units of the policies' cost a day, and calls of each session",
        ],
        [
          './countersign budget put --runaway support=repeats:20,times-habit:10',
          'stop an agent of a class that runs away',
        ],
      ],
    }),
  )
    .option(
      '--ceiling <ceiling>',
      'tenant|agent|agent:ID|session|task=CALLS/WINDOW or =cost:UNITS/WINDOW; repeat for more',
      repeated,
    )
    .option(
      '--runaway <rule>',
      'CLASS=repeats:CALLS,times-habit:FACTOR,at-least:CALLS, each in a minute; repeat for more',
      repeated,
    )
    .option('--none', 'lift every ceiling and every rule')
    .action(async (json: string | undefined, options: PutOptions) => {
      const said = [json, options.ceiling, options.runaway, options.none];
      if (said.every((each) => each === undefined)) {
        throw new CliError('Which ceilings?', {
          exitCode: EXIT.misuse,
          help: 'add --ceiling agent=100/hour, or --none to lift all of them',
        });
      }
      const ceilings = (options.ceiling ?? []).map(ceilingGiven);
      const runaway = (options.runaway ?? []).map(ruleGiven);
      const given = { ceilings, ...(runaway.length === 0 ? {} : { runaway }) };
      const body = json === undefined ? given : jsonGiven(json);
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
  if (options.json === true) return printJson(value);
  const { ceilings, runaway = [] } = value;
  if (ceilings.length === 0) print('there are no ceilings');
  else printTable(ceilings.flatMap(rowsOf), ['for', 'at most', 'per']);
  for (const { class: name, repeats, times_habit: timesHabit, at_least: atLeast = 60 } of runaway) {
    const rules = [
      ...(repeats === undefined ? [] : [`the same call more than ${repeats} times`]),
      ...(timesHabit === undefined
        ? []
        : [`more than ${timesHabit} times its habit, from ${atLeast} calls on`]),
    ];
    print(`run away, class ${name}: ${rules.join('; ')} in a minute`);
  }
}

function rowsOf({ scope, agent, window, calls, cost }: Ceiling): string[][] {
  const whose = scope === 'tenant' ? 'the tenant' : (agent ?? `each ${scope}`);
  return [
    ...(calls === undefined ? [] : [[whose, `${calls} calls`, window]]),
    ...(cost === undefined ? [] : [[whose, `cost ${cost / 1e6}`, window]]),
  ];
}

const CEILING =
  /^(tenant|agent|session|task)(?::(.+))?=(?:(\d+)|cost:(\d+(?:\.\d{1,6})?))\/(minute|hour|day|month)$/;

/** `agent:shop-agent=5/minute` as a ceiling; what it may say is the admin API's to judge. */
function ceilingGiven(text: string): Ceiling {
  const match = CEILING.exec(text);
  if (match === null) {
    throw new CliError(`"${text}" is not a ceiling.`, {
      exitCode: EXIT.misuse,
      help: 'write tenant=1000/day, agent=100/hour, agent:ID=5/minute or session=cost:2.50/hour',
    });
  }
  const [, scope, agent, calls, cost, window] = match;
  return {
    scope: scope as Ceiling['scope'],
    window: window as Ceiling['window'],
    ...(calls === undefined ? {} : { calls: Number(calls) }),
    ...(cost === undefined ? {} : { cost: microUnits(Number(cost)) }),
    ...(agent === undefined ? {} : { agent }),
  };
}

const RULES = { repeats: 'repeats', 'times-habit': 'times_habit', 'at-least': 'at_least' } as const;

/** `support=repeats:20,times-habit:10` as a rule. */
function ruleGiven(text: string): RunawayRule {
  const [name = '', parts = ''] = text.split('=', 2);
  const rule: Record<string, number> = {};
  for (const part of parts.split(',')) {
    const [, key = '', value = ''] = /^(repeats|times-habit|at-least):(\d+)$/.exec(part) ?? [];
    if (name === '' || key === '') {
      throw new CliError(`"${text}" is not a rule.`, {
        exitCode: EXIT.misuse,
        help: 'write CLASS=repeats:20, CLASS=times-habit:10 or both with a comma',
      });
    }
    rule[RULES[key as keyof typeof RULES]] = Number(value);
  }
  return { class: name, ...rule };
}

// `mode`: how strictly the calls of an agent class are enforced, and how far it is from the next mode.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { countGiven, jsonGiven } from '#cli/given.ts';
import { print, printJson, printTable } from '#cli/output.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { Canary, ClassMode, Criterion } from '#contracts/mode.ts';
import type { ModeStatus } from '#contracts/rollout-api.ts';

interface SetOptions extends Reach {
  readonly reason?: string;
  readonly canary?: number;
  readonly canaryBy?: string;
  readonly criteria?: string;
  readonly override?: true;
}

export function register(program: Command): void {
  const mode = addGroup(program, 'mode', {
    short: 'Roll out a class of agents: observe, soft-block, enforce.',
    summary: 'Rollout of an agent class: observe, soft-block or enforce. list, status, set.',
    examples: [['./countersign mode list', 'which classes are not simply enforced']],
  });
  reachable(
    addVerb(mode, 'list', {
      summary: 'List the classes that have a mode. All others are enforced.',
      examples: [['./countersign mode list', 'mode, canary share, since when, by whom and why']],
    }),
  ).action(listModes);
  reachable(
    addVerb(mode, 'status <class>', {
      summary: 'Show what would have been blocked in a class, and what stricter modes wait for.',
      examples: [['./countersign mode status shop', 'is class shop ready to be enforced?']],
    }),
  ).action(status);
  reachable(
    addVerb(mode, 'set <class> <mode>', {
      summary:
        'Change the mode of a class to observe, soft-block or enforce. It takes its criteria, or --override.',
      examples: [
        [
          './countersign mode set shop observe --override --reason "new agents"',
          'nothing that may be lifted is blocked; records say what would have been',
        ],
        [
          './countersign mode set shop observe --canary 5 --reason "first share"',
          '5 of 100 agents are enforced already',
        ],
        [
          './countersign mode set shop enforce --reason "two quiet weeks"',
          'if the criteria are met',
        ],
      ],
    }),
  )
    .requiredOption('--reason <text>', 'why; it stays in the chain, so name no person')
    .option('--canary <percent>', 'enforce this share of the class already', countGiven)
    .option('--canary-by <what>', 'agent or session: whole agents, or single sessions', 'agent')
    .option('--criteria <json>', 'criteria of later changes, JSON or @file')
    .option('--override', 'change it though the criteria are not met; it is recorded')
    .action(set);
}

const placeOf = (name: string): string => `modes/${encodeURIComponent(name)}`;

async function listModes(options: Reach): Promise<void> {
  // Lists have this shape (contracts/admin-bodies.ts).
  const { items } = (await adminClient(options).tenantCall('GET', 'modes')) as {
    items: readonly { readonly value: ClassMode }[];
  };
  if (options.json === true) printJson({ items });
  else if (items.length === 0) print('every class is enforced');
  else {
    printTable(
      items.map(({ value }) => [
        value.class,
        value.mode,
        canaryText(value.canary),
        new Date(value.since).toISOString(),
        value.by,
        value.override ? `${value.reason} (override)` : value.reason,
      ]),
      ['class', 'mode', 'enforced already', 'since', 'by', 'reason'],
    );
  }
}

const canaryText = (canary: Canary | null): string =>
  canary === null ? '' : `${canary.percent} % by ${canary.by}`;

async function status(name: string, options: Reach): Promise<void> {
  const answer = (await adminClient(options).tenantCall('GET', placeOf(name))) as ModeStatus;
  if (options.json === true) {
    printJson(answer);
    return;
  }
  const { value, measured, next, leave, agents } = answer;
  const { decisions, would_block: wouldBlock } = measured;
  const since = value.since === 0 ? 'always' : `since ${new Date(value.since).toISOString()}`;
  print(`${name}: ${value.mode}, ${since}; ${agents} agents`);
  if (value.canary !== null) print(`  enforced already    ${canaryText(value.canary)}`);
  print(
    decisions === null || wouldBlock === null
      ? '  decisions           unknown: the database does not answer'
      : `  decisions           ${decisions}, of which ${wouldBlock} would be blocked or held`,
  );
  print(`  exceptions          ${measured.unreviewed_exceptions} nobody reviewed`);
  const ways = next.map(({ mode, criteria }): [string, Criterion[]] => [
    `to enter ${mode}`,
    criteria,
  ]);
  if (leave !== null) ways.push([`to leave ${value.mode}`, leave.criteria]);
  const rows = ways.flatMap(([way, criteria]) =>
    criteria.map(({ criterion, required, present, met }) => [
      way,
      criterion,
      String(required),
      present === null ? 'unknown' : String(Math.round(present * 100) / 100),
      met ? 'met' : 'not met',
    ]),
  );
  if (rows.length > 0) printTable(rows, ['', 'criterion', 'required', 'now', '']);
  else print('  a looser mode takes --override');
}

async function set(name: string, mode: string, options: SetOptions): Promise<void> {
  const { reason, canary, canaryBy: by, criteria, override } = options;
  const body = {
    mode,
    reason,
    ...(canary === undefined ? {} : { canary: { percent: canary, by } }),
    ...(criteria === undefined ? {} : { criteria: jsonGiven(criteria) }),
    ...(override === true ? { override } : {}),
  };
  const answer = await adminClient(options).tenantCall('PUT', placeOf(name), body);
  tellChange(options, answer, `class ${name} is in mode ${mode}`);
}

// `approvals`: calls that wait for a person: what they would do, yes or no to them.

import { setTimeout as sleep } from 'node:timers/promises';

import type { Command } from 'commander';

import { printApproval, printApprovals, printGrants } from '#cli/approval-report.ts';
import { adminClient, type AdminClient, reachable, type Reach } from '#cli/client.ts';
import { countGiven, durationGiven, jsonGiven } from '#cli/given.ts';
import { boundsGiven } from '#cli/grant-terms.ts';
import { CliError, EXIT, paint, print, printJson, progress } from '#cli/output.ts';
import { visible } from '#cli/untrusted.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { ArgumentBound } from '#contracts/approval-grant.ts';
import { toldAs } from '#contracts/approval.ts';
import type { ApprovalItem, ApprovalPreview, DecisionAnswer } from '#contracts/held.ts';
import type { Json } from '#contracts/json.ts';

interface ListOptions extends Reach {
  readonly all?: true;
}

interface SayOptions extends Reach {
  readonly reason?: string;
}

interface ApproveOptions extends Reach {
  readonly code?: string;
  readonly repeats?: number;
  /** Seconds. */
  readonly for?: number;
  readonly bound?: readonly ArgumentBound[];
}

interface EditOptions extends SayOptions {
  readonly arguments: Json;
}

const WATCH_MS = 1_000;
/** Of the newest ones; a list that a person reads is shorter. */
const LIST_MAX = 200;

export function register(program: Command): void {
  const approvals = addGroup(program, 'approvals', {
    short: 'Show, approve, deny or edit held calls; end grants.',
    summary: 'Calls that wait for a person: list, show, approve, deny, edit; and grants.',
    examples: [
      ['./countersign approvals list', 'what waits'],
      ['./countersign approvals show 019a1b2c-…', 'what exactly would happen'],
      ['./countersign approvals approve 019a1b2c-…', 'yes to exactly that, once'],
    ],
  });
  reachable(
    addVerb(approvals, 'list', {
      summary: 'List what waits, the most urgent first.',
      examples: [
        ['./countersign approvals list', 'what waits'],
        ['./countersign approvals list --all', 'and what ended'],
      ],
    }),
  )
    .option('--all', 'also what does not wait any more')
    .action(list);
  reachable(
    addVerb(approvals, 'show <approval-id>', {
      summary:
        'Show one: effect, every argument, who asks and why, what happened before, who was asked.',
      examples: [['./countersign approvals show 019a1b2c-…', 'everything there is to judge it by']],
    }),
  ).action(async (id: string, options: Reach) => {
    const preview = await show(adminClient(options), id);
    if (options.json === true) printJson(preview);
    else printApproval(preview, Date.now());
  });
  registerSteps(approvals);
  registerGrants(approvals);
  reachable(
    addVerb(approvals, 'watch', {
      summary: 'Tell each call as it begins to wait, and how it ends. Ends with Ctrl-C.',
      examples: [['./countersign approvals watch', 'in a terminal of its own']],
    }),
  ).action(watch);
}

function registerSteps(approvals: Command): void {
  reachable(
    addVerb(approvals, 'approve <approval-id>', {
      summary:
        'Show one and say yes to exactly what was shown. It can be used once, by its own agent.',
      examples: [
        ['./countersign approvals approve 019a1b2c-… --as grace', 'as this person'],
        ['./countersign approvals approve 019a1b2c-… --code 123456', 'with a fresh second factor'],
        [
          "./countersign approvals approve 019a1b2c-… --repeats 10 --for 1h --bound '/amount=1..50'",
          'and ten more like it, without a question for each',
        ],
      ],
    }),
  )
    .option('--repeats <count>', 'also grant so many repeats by the same agent', countGiven)
    .option('--for <duration>', 'how long the grant holds, such as 1h', durationGiven)
    .option('--bound <pointer=values>', 'an argument that may differ, and how far', boundsGiven)
    .option('--code <code>', 'a one-time code of yours, where the call takes a second factor')
    .action(approve);
  registerEdit(approvals);
  const saying = (verb: 'deny' | 'cancel', summary: string, why: string): void => {
    reachable(
      addVerb(approvals, `${verb} <approval-id>`, {
        summary,
        examples: [[`./countersign approvals ${verb} 019a1b2c-… --reason "wrong order"`, why]],
      }),
    )
      .option('--reason <text>', verb === 'deny' ? 'words that the agent may see' : 'why')
      .action(async (id: string, { reason, ...options }: SayOptions) => {
        const path = `approvals/${encodeURIComponent(id)}/${verb}`;
        tell(options, await adminClient(options).tenantCall('POST', path, { reason }));
      });
  };
  saying('deny', 'Say no: the call does not run, and its agent is told.', 'and why');
  saying('cancel', 'Withdraw it: nobody decided, and it does not run.', 'and why');
  reachable(
    addVerb(approvals, 'acknowledge <approval-id>', {
      summary: 'Say that you look at it, so that nobody else is woken.',
      examples: [['./countersign approvals acknowledge 019a1b2c-…', 'it still has to be decided']],
    }),
  ).action(async (id: string, options: Reach) => {
    const path = `approvals/${encodeURIComponent(id)}/acknowledge`;
    tell(options, await adminClient(options).tenantCall('POST', path, {}));
  });
}

function registerEdit(approvals: Command): void {
  reachable(
    addVerb(approvals, 'edit <approval-id>', {
      summary:
        'Put other arguments in their place: the agent is told, and another person approves them.',
      examples: [
        [
          './countersign approvals edit 019a1b2c-… --arguments \'{"amount":50,"order_id":"ord_1"}\'',
          'all arguments, as they should be',
        ],
      ],
    }),
  )
    .requiredOption('--arguments <json>', 'all arguments, as they should be', jsonGiven)
    .option('--reason <text>', 'words that the agent may see')
    .action(edit);
}

function registerGrants(approvals: Command): void {
  reachable(
    addVerb(approvals, 'grants', {
      summary: 'List the grants that hold: whose calls run without a question, how many, how long.',
      examples: [['./countersign approvals grants', 'newest first']],
    }),
  ).action(async (options: Reach) => {
    // The answer has this shape (contracts/approval-api.ts).
    const { items } = (await adminClient(options).tenantCall('GET', 'grants')) as {
      items: readonly ApprovalItem[];
    };
    if (options.json === true) printJson({ items });
    else if (items.length === 0) print('no grant holds');
    else printGrants(items, Date.now());
  });
  reachable(
    addVerb(approvals, 'revoke <approval-id>', {
      summary: 'End a grant: from then on people are asked again.',
      examples: [['./countersign approvals revoke 019a1b2c-…', 'the id that `grants` shows']],
    }),
  )
    .option('--reason <text>', 'why')
    .action(async (id: string, { reason, ...options }: SayOptions) => {
      const path = `grants/${encodeURIComponent(id)}/revoke`;
      const answer = await adminClient(options).tenantCall('POST', path, { reason });
      if (options.json === true) printJson(answer);
      else print('ended; from now on people are asked again');
    });
}

async function list(options: ListOptions): Promise<void> {
  const items = await listed(adminClient(options), options.all === true ? 'all' : 'pending');
  if (options.json === true) printJson({ items });
  else if (items.length === 0) print('nothing waits');
  else printApprovals(items, Date.now());
}

async function listed(client: AdminClient, state: string): Promise<readonly ApprovalItem[]> {
  const path = `approvals?state=${state}&limit=${LIST_MAX}`;
  // The answer has this shape (contracts/approval-api.ts).
  return ((await client.tenantCall('GET', path)) as { items: readonly ApprovalItem[] }).items;
}

async function show(client: AdminClient, id: string): Promise<ApprovalPreview> {
  // The answer has this shape (contracts/approval-api.ts).
  return (await client.tenantCall('GET', `approvals/${encodeURIComponent(id)}`)) as ApprovalPreview;
}

async function approve(
  id: string,
  { code, repeats, for: seconds, bound, ...options }: ApproveOptions,
): Promise<void> {
  const client = adminClient(options);
  const { shown } = await shownWhole(client, id, options);
  const path = `approvals/${encodeURIComponent(id)}/approve`;
  const asked = repeats ?? seconds ?? bound;
  if (asked !== undefined && (repeats === undefined || seconds === undefined)) {
    throw new CliError('A grant takes both --repeats and --for.', { exitCode: EXIT.misuse });
  }
  const grant = asked === undefined ? {} : { uses: repeats, for_s: seconds, bounds: bound ?? [] };
  const body = { shown, code, ...(asked === undefined ? {} : { grant }) };
  tell(options, await client.tenantCall('POST', path, body));
}

async function edit(id: string, options: EditOptions): Promise<void> {
  const { arguments: changed, reason, ...reach } = options;
  const client = adminClient(reach);
  const { shown } = await shownWhole(client, id, reach);
  const path = `approvals/${encodeURIComponent(id)}/edit`;
  tell(reach, await client.tenantCall('POST', path, { shown, reason, arguments: changed }));
}

/** Shows it, once everything of it can be shown. */
async function shownWhole(
  client: AdminClient,
  id: string,
  options: Reach,
): Promise<ApprovalPreview> {
  const preview = await wholePreview(client, id);
  if (options.json === true) return preview;
  print(paint('bold', 'this is what you decide about'));
  printApproval(preview, Date.now());
  print();
  return preview;
}

const WHOLE_MS_MAX = 5_000;

/** The preview once everything can be shown: the chain takes a moment to have what came before. */
async function wholePreview(client: AdminClient, id: string): Promise<ApprovalPreview> {
  const deadline = Date.now() + WHOLE_MS_MAX;
  for (;;) {
    const preview = await show(client, id);
    if (preview.missing.length === 0 || preview.state !== 'pending') return preview;
    if (Date.now() > deadline) {
      throw new CliError(
        `Not everything of this call can be shown: ${preview.missing.join(', ')}.`,
        {
          exitCode: EXIT.finding,
          help: `./countersign approvals show ${id}   (it can be denied as it is)`,
        },
      );
    }
    await sleep(WATCH_MS / 4);
  }
}

function tell(options: Reach, answer: unknown): void {
  if (options.json === true) {
    printJson(answer);
    return;
  }
  // Every step is answered so (contracts/held.ts).
  const { state, stage, votes, needed } = answer as DecisionAnswer;
  if (state === 'pending') print(`${votes} of ${needed} said yes (${stage}); it still waits`);
  else if (state === 'edited') {
    print('changed; its agent is told, and what it sends then waits for another person');
  } else if (state === 'approved') print('approved; it runs when its agent sends it again, once');
  else print(`${state.replace('_', ' ')}; it does not run`);
}

/** Runs until interrupted. */
async function watch(options: Reach): Promise<void> {
  const client = adminClient(options);
  const known = new Map<string, string>();
  let first = true;
  progress('watching; Ctrl-C ends');
  for (;;) {
    for (const item of (await listed(client, 'all')).toReversed()) {
      const now = toldAs(item, Date.now());
      const before = known.get(item.approval_id);
      known.set(item.approval_id, now);
      if (before === now || (first && now !== 'pending')) continue;
      if (options.json === true) print(JSON.stringify(item));
      else printChange(item, now);
    }
    first = false;
    await sleep(WATCH_MS);
  }
}

function printChange(
  { approval_id: id, effect, tool, agent, risk }: ApprovalItem,
  now: string,
): void {
  const what = visible(effect === '' ? tool : effect);
  const style = now === 'pending' ? 'yellow' : now === 'denied' ? 'red' : 'dim';
  print(
    `${new Date().toISOString().slice(11, 19)}  ${paint(style, now.padEnd(10))}  ${id}  ${risk}  ${what}  (${visible(agent)})`,
  );
}

// `approvals`: calls that wait for a person: what they would do, yes or no to them.

import { setTimeout as sleep } from 'node:timers/promises';

import type { Command } from 'commander';

import { printApproval, printApprovals } from '#cli/approval-report.ts';
import { adminClient, type AdminClient, reachable, type Reach } from '#cli/client.ts';
import { CliError, EXIT, paint, print, printJson, progress } from '#cli/output.ts';
import { visible } from '#cli/untrusted.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { ApprovalItem, ApprovalPreview, DecisionAnswer } from '#contracts/held.ts';

interface ListOptions extends Reach {
  readonly all?: true;
}

interface SayOptions extends Reach {
  readonly reason?: string;
}

const WATCH_MS = 1_000;
/** Of the newest ones; a list that a person reads is shorter. */
const LIST_MAX = 200;

export function register(program: Command): void {
  const approvals = addGroup(program, 'approvals', {
    summary: 'Calls that wait for a person: list, show, approve, deny.',
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
      examples: [['./countersign approvals approve 019a1b2c-… --as grace', 'as this person']],
    }),
  ).action(approve);
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

async function approve(id: string, options: Reach): Promise<void> {
  const client = adminClient(options);
  const preview = await wholePreview(client, id);
  if (options.json !== true) {
    printApproval(preview, Date.now());
    print();
  }
  const path = `approvals/${encodeURIComponent(id)}/approve`;
  tell(options, await client.tenantCall('POST', path, { shown: preview.shown }));
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
  else if (state === 'approved') print('approved; it runs when its agent sends it again, once');
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
      const now = item.state === 'approved' && item.used >= item.uses ? 'used' : item.state;
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

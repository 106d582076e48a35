// `exception`: one refusal of some calls, lifted until a day; listed, reviewed by another person, ended.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { durationGiven } from '#cli/given.ts';
import { print, printJson, printTable } from '#cli/output.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { Exception } from '#contracts/exception.ts';

interface PutOptions extends Reach {
  readonly agent?: string;
  readonly class?: string;
  readonly tool?: string;
  readonly lifts: string;
  readonly why: string;
  readonly for: number;
}

const DAY_S = 86_400;

export function register(program: Command): void {
  const exception = addGroup(program, 'exception', {
    short: 'Let one reason pass for a while.',
    summary: 'Exceptions to what is enforced: put, list, review, end.',
    examples: [['./countersign exception list', 'what is lifted, for whom and until when']],
  });
  reachable(
    addVerb(exception, 'put <id>', {
      summary: 'Lift one reason for an agent, a class or a tool, for at most 90 days.',
      examples: [
        [
          './countersign exception put big-refunds --agent shop-agent --tool refund_order --lifts policy.blocked --for 7d --why "ticket 812"',
          'one agent, one tool, one week',
        ],
      ],
    }),
  )
    .requiredOption('--lifts <reason>', 'code of the refusal; only liftable ones are accepted')
    .requiredOption('--for <duration>', 'until when, such as 12h or 7d', durationGiven)
    .requiredOption('--why <text>', 'it stays in the chain, so name no person')
    .option('--agent <agent>', 'only this agent')
    .option('--class <class>', 'only agents of this class')
    .option('--tool <tool>', 'only this tool')
    .action(async (id: string, options: PutOptions) => {
      const { agent, class: agentClass, tool, lifts: reason, why, for: seconds } = options;
      // Undefined members are not sent.
      const body = { agent, class: agentClass, tool, reason, why, days: seconds / DAY_S };
      const answer = await adminClient(options).tenantCall('PUT', placeOf(id), body);
      tellChange(options, answer, `${reason} is lifted; another person has to review it`);
    });
  reachable(
    addVerb(exception, 'list', {
      summary: 'List exceptions, also those that expired.',
      examples: [['./countersign exception list', 'with who made and who reviewed each']],
    }),
  ).action(list);
  reachable(
    addVerb(exception, 'review <id>', {
      summary: 'Say that you looked at an exception of another person and that it may stand.',
      examples: [['./countersign exception review big-refunds --as grace', 'by a second person']],
    }),
  ).action(async (id: string, options: Reach) => {
    const answer = await adminClient(options).tenantCall('POST', `${placeOf(id)}/review`);
    tellChange(options, answer, `reviewed ${id}`);
  });
  reachable(
    addVerb(exception, 'end <id>', {
      summary: 'End an exception.',
      examples: [['./countersign exception end big-refunds --reason "rule is fixed"', 'at once']],
    }),
  )
    .requiredOption('--reason <text>', 'why; it stays in the chain, so name no person')
    .action(async (id: string, options: Reach & { readonly reason: string }) => {
      const { reason } = options;
      const answer = await adminClient(options).tenantCall('POST', `${placeOf(id)}/end`, {
        reason,
      });
      tellChange(options, answer, `ended ${id}`);
    });
}

const placeOf = (id: string): string => `exceptions/${encodeURIComponent(id)}`;

async function list(options: Reach): Promise<void> {
  // Lists have this shape (contracts/admin-bodies.ts).
  const { items } = (await adminClient(options).tenantCall('GET', 'exceptions')) as {
    items: readonly { readonly id: string; readonly value: Exception }[];
  };
  if (options.json === true) printJson({ items });
  else if (items.length === 0) print('there are none');
  else {
    const now = Date.now();
    printTable(
      items.map(({ id, value }) => [
        id,
        value.reason,
        scopeOf(value),
        `${value.expires_at <= now ? 'expired ' : ''}${new Date(value.expires_at).toISOString()}`,
        value.by,
        value.review?.by ?? 'nobody yet',
        value.why,
      ]),
      ['exception', 'lifts', 'for', 'until', 'by', 'reviewed by', 'why'],
    );
  }
}

const scopeOf = ({ agent, class: agentClass, tool }: Exception): string =>
  [
    agent === undefined ? '' : `agent ${agent}`,
    agentClass === undefined ? '' : `class ${agentClass}`,
    tool === undefined ? '' : `tool ${tool}`,
  ]
    .filter((part) => part !== '')
    .join(', ');

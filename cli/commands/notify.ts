// `notify`: whom the system tells about held calls: its channels, what did not arrive, and who would be asked.

import type { Command } from 'commander';
import type { Static } from 'typebox';

import { adminClient, type Reach, reachable } from '#cli/client.ts';
import { countGiven, jsonGiven } from '#cli/given.ts';
import { CliError, EXIT, paint, print, printJson, printTable } from '#cli/output.ts';
import { visible } from '#cli/untrusted.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import { NOTIFY_OPERATIONS } from '#contracts/notify-api.ts';
import {
  type ChannelItem,
  NOTICE_PAGE_MAX,
  type NoticeItem,
  type Replayed,
  type Tested,
} from '#contracts/notify.ts';

interface PlanOptions extends Reach {
  readonly arguments?: unknown;
  readonly risk?: string;
  readonly route?: string;
  readonly quorum?: number;
  readonly person?: string;
}
type Plan = Static<typeof NOTIFY_OPERATIONS.planApproval.answer>;

export function register(program: Command): void {
  const notify = addGroup(program, 'notify', {
    summary: 'Tell people: channels, dead letters, tests, who would be asked.',
    examples: [
      ['./countersign notify channels', 'which there are, and whether they work'],
      ['./countersign notify dead', 'what never arrived'],
      ['./countersign notify routes refund_order --risk low', 'who would be asked'],
    ],
  });
  registerLooks(notify);
  reachable(
    addVerb(notify, 'replay', {
      summary: 'Send dead letters again, but for those about calls that do not wait any more.',
      examples: [
        ['./countersign notify replay --channel team-chat', 'after its token was renewed'],
        ['./countersign notify replay', 'all of them'],
      ],
    }),
  )
    .option('--channel <name>', 'only those of this channel')
    .option('--approval <approval-id>', 'only those about this call')
    .action(replay);
  reachable(
    addVerb(notify, 'test <channel>', {
      summary: 'Send a message to a channel that says it is a test.',
      examples: [['./countersign notify test team-chat', 'does it arrive?']],
    }),
  ).action(test);
  reachable(
    addVerb(notify, 'routes <tool>', {
      summary: 'Show who would decide such a call, and who would be told when. Holds nothing.',
      examples: [
        [
          './countersign notify routes refund_order --arguments \'{"amount":150}\' --risk high',
          'by amount and severity',
        ],
      ],
    }),
  )
    .option('--arguments <json>', 'the arguments, where routes look at an amount', jsonGiven)
    .option('--risk <risk>', 'low, medium, high or critical, as the policy would say')
    .option('--route <name>', 'the route that the policy would name')
    .option('--quorum <count>', 'how many the policy would ask for', countGiven)
    .option('--person <id>', 'whom the agent would act for; they cannot approve')
    .action(routes);
}

function registerLooks(notify: Command): void {
  reachable(
    addVerb(notify, 'channels', {
      summary: 'List the channels, whether each works, and what waits or is dead there.',
      examples: [['./countersign notify channels', 'of the demo']],
    }),
  ).action(async (options: Reach) => {
    const items = await get<ChannelItem>(options, 'channels');
    if (options.json === true) printJson({ items });
    else if (items.length === 0) print('there are no channels (docs/notify.md)');
    else printChannels(items);
  });
  const lists = (verb: string, path: string, summary: string, none: string): void => {
    reachable(
      addVerb(notify, verb, {
        summary,
        examples: [[`./countersign notify ${verb}`, 'newest first']],
      }),
    ).action(async (options: Reach) => {
      const items = await get<NoticeItem>(options, path);
      if (options.json === true) printJson({ items });
      else if (items.length === 0) print(none);
      else printNotices(items);
    });
  };
  const limit = `limit=${NOTICE_PAGE_MAX}`;
  lists(
    'list',
    `notices?${limit}`,
    'List what people were told lately.',
    'nobody was told anything',
  );
  lists(
    'dead',
    `notices?state=dead&${limit}`,
    'List what could not be sent, and why.',
    'nothing is dead',
  );
}

async function get<Item>(options: Reach, path: string): Promise<readonly Item[]> {
  // Both lists are answered so (contracts/notify-api.ts).
  return ((await adminClient(options).tenantCall('GET', path)) as { items: readonly Item[] }).items;
}

function printChannels(items: readonly ChannelItem[]): void {
  printTable(
    items.map(({ name, kind, to, down, fault, due, dead, risks, tools }) => [
      name,
      kind,
      to,
      down ? `down: ${visible(fault)}` : 'works',
      String(due),
      String(dead),
      [...risks, ...tools].join(', ') || 'any call',
    ]),
    ['channel', 'kind', 'to', 'state', 'waiting', 'dead', 'for'],
  );
}

function printNotices(items: readonly NoticeItem[]): void {
  printTable(
    items.map(({ at, channel, event, tool, state, attempts, fault, approval_id: id }) => [
      new Date(at).toISOString().slice(0, 19),
      channel,
      state,
      event,
      visible(tool),
      id,
      fault === '' ? '' : `${visible(fault)} (${attempts} tries)`,
    ]),
    ['of', 'channel', 'state', 'event', 'tool', 'approval', 'why not'],
  );
}

async function replay({
  channel,
  approval,
  ...options
}: Reach & { readonly channel?: string; readonly approval?: string }): Promise<void> {
  const body = { channel, approval };
  // Answered so by contracts/notify-api.ts.
  const answer = (await adminClient(options).tenantCall(
    'POST',
    'notices/replay',
    body,
  )) as Replayed;
  if (options.json === true) printJson(answer);
  else {
    const over =
      answer.over === 0 ? '' : `; ${answer.over} ask about calls that do not wait any more`;
    print(`${answer.replayed} will be sent again${over}`);
  }
}

async function test(channel: string, options: Reach): Promise<void> {
  const path = `channels/${encodeURIComponent(channel)}/test`;
  // Answered so by contracts/notify-api.ts.
  const answer = (await adminClient(options).tenantCall('POST', path, {})) as Tested;
  if (options.json === true) printJson(answer);
  if (!answer.sent) {
    throw new CliError(`Not sent: ${visible(answer.fault)}.`, {
      exitCode: EXIT.finding,
      help: 'docs/notify.md says what each kind of channel needs',
    });
  }
  if (options.json !== true) print('sent; look whether it arrived');
}

async function routes(tool: string, options: PlanOptions): Promise<void> {
  const { arguments: args, risk, route, quorum, person, ...reach } = options;
  const body = { tool, arguments: args, risk, route, quorum, person };
  // Answered so by contracts/notify-api.ts.
  const plan = (await adminClient(reach).tenantCall('POST', 'routes/plan', body)) as Plan;
  if (reach.json === true) printJson(plan);
  else if (plan.stages.length === 0)
    print('no route is meant: such a call would end at once as no_channel');
  else printPlan(plan);
}

function printPlan({ route, stages, tiers, step_up_s: stepUp }: Plan): void {
  print(`route ${paint('bold', route)}`);
  for (const { name, quorum, people } of stages) {
    const few = people.length < quorum ? paint('red', '  too few: it would end as no_channel') : '';
    print(`  ${name}: ${quorum} of ${people.join(', ') || 'nobody'}${few}`);
  }
  for (const { name, after_s: after, remind_s: remind, channels } of tiers) {
    const asked = channels.map(
      ({ name: channel, kind, down }) =>
        `${channel}${kind === '' ? ' (there is none)' : down ? ' (down)' : ''}`,
    );
    const again = remind === 0 ? '' : `, again every ${remind} s`;
    print(
      `  ${after === 0 ? 'at once' : `after ${after} s`} ${name}: ${asked.join(', ') || 'no channel'}${again}`,
    );
  }
  if (stepUp > 0) print(`  a second factor no older than ${stepUp} s`);
}

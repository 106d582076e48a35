// `audit erase`, `hold`, `release-hold`, `retention`, `orders`: what becomes of payloads. No proof changes by any of it.

import { type Command, InvalidArgumentError } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { countGiven } from '#cli/given.ts';
import { CliError, EXIT, print, printJson, printTable } from '#cli/output.ts';
import { addVerb, type VerbText } from '#cli/verb.ts';
import type { KeptPayloadOrder, PayloadCount } from '#contracts/payload-api.ts';
import type { PayloadSelection } from '#contracts/payload-order.ts';

interface Selected extends Reach {
  readonly decision?: string;
  readonly agent?: string;
  readonly person?: string;
  readonly from?: number;
  readonly until?: number;
  readonly reason?: string;
}

/** Also told by docs/privacy.md. */
const LATER =
  'Gone from the payload store within seconds, unless held; from the spool COUNTERSIGN_SPOOL_KEEP_SECONDS after its ' +
  'record is witnessed; what else holds copies, and for how long: docs/privacy.md.';

export function registerPayloads(audit: Command): void {
  selecting(audit, 'erase', {
    summary:
      'Erase the payloads of decisions and of what is about them, for good. The chain and its proofs stay valid.',
    examples: [
      ['./countersign audit erase --person p-3f… --dry-run', 'count first; pseudonyms: audit list'],
      ['./countersign audit erase --person p-3f… --reason "request 17"', 'and erase'],
    ],
  })
    .option('--dry-run', 'count what fits, and erase nothing')
    .action(erase);
  selecting(audit, 'hold', {
    summary: 'Place a legal hold: what fits is neither erased nor dropped until it is lifted.',
    examples: [
      ['./countersign audit hold --agent support-bot --reason "case 4"', 'also what comes later'],
    ],
  }).action(hold);
  reachable(
    addVerb(audit, 'release-hold <order-id>', {
      summary: 'Lift a legal hold. Erasures that waited for it go on.',
      examples: [['./countersign audit release-hold 019a1b2c-… --reason "closed"', 'ids: orders']],
    }),
  )
    .requiredOption('--reason <text>', REASON)
    .action(release);
  reachable(
    addVerb(audit, 'retention <days>', {
      summary: 'Set for how many days payloads of decisions are kept: a number, or "forever".',
      examples: [['./countersign audit retention 90 --reason "policy 3"', 'older ones go']],
    }),
  )
    .requiredOption('--reason <text>', REASON)
    .action(retention);
  reachable(
    addVerb(audit, 'orders', {
      summary: 'List erasures, holds and retentions, the newest first.',
      examples: [['./countersign audit orders', 'which are open, and what they have erased']],
    }),
  ).action(orders);
}

const REASON = 'why; it stays in the chain, so name no person';

const selecting = (audit: Command, name: string, text: VerbText): Command =>
  reachable(addVerb(audit, name, text))
    .option('--decision <id>', 'of this decision')
    .option('--agent <agent>', 'of this agent')
    .option('--person <pseudonym>', 'of this person, as `audit list` shows her')
    .option('--from <time>', 'decided at this time or later (RFC 3339)', momentGiven)
    .option('--until <time>', 'decided before this time (RFC 3339)', momentGiven)
    .option('--reason <text>', REASON);

async function erase(options: Selected & { readonly dryRun?: true }): Promise<void> {
  const selection = selectionOf(options);
  if (options.dryRun === true) {
    const query = new URLSearchParams(
      Object.entries(selection).map(([name, value]): [string, string] => [name, String(value)]),
    );
    // contracts/payload-api.ts
    const count = (await adminClient(options).tenantCall(
      'GET',
      `payload-count?${query.toString()}`,
    )) as PayloadCount;
    if (options.json === true) printJson(count);
    else print(`${count.payloads} payloads fit, ${count.held} of them are held; none is erased`);
    return;
  }
  await order(options, { action: 'erase', selection }, 'erasure ordered');
  if (options.json !== true) print(`  ${LATER}`);
}

const hold = (options: Selected): Promise<void> =>
  order(options, { action: 'hold', selection: selectionOf(options) }, 'hold placed');

const release = (id: string, options: Selected): Promise<void> =>
  order(options, { action: 'release', hold: id }, 'hold lifted');

async function retention(given: string, options: Selected): Promise<void> {
  const days = given === 'forever' ? null : countGiven(given);
  await order(options, { action: 'retain', days }, `payloads are kept: ${daysText(days)}`);
}

async function order(options: Selected, body: object, done: string): Promise<void> {
  const { reason } = options;
  if (reason === undefined)
    throw new CliError('Why?', { exitCode: EXIT.misuse, help: 'add --reason TEXT' });
  const answer = await adminClient(options).tenantCall('POST', 'payload-orders', {
    ...body,
    reason,
  });
  tellChange(options, answer, done);
}

async function orders(options: Reach): Promise<void> {
  // contracts/payload-api.ts
  const { items } = (await adminClient(options).tenantCall('GET', 'payload-orders')) as {
    readonly items: readonly KeptPayloadOrder[];
  };
  if (options.json === true) printJson({ items });
  else if (items.length === 0) print('there are none');
  else printTable(items.map(cells), ['id', 'order', 'since', 'by', 'of', 'state', 'erased']);
}

const cells = (kept: KeptPayloadOrder): string[] => [
  kept.id,
  kept.action,
  new Date(kept.at).toISOString(),
  kept.by,
  kept.action === 'retain' ? daysText(kept.days) : conditions(kept),
  kept.ended ? 'ended' : 'open',
  String(kept.erased),
];

const daysText = (days: number | null): string => (days === null ? 'forever' : `${days} days`);

function conditions({ decision_id: decision, agent, person, ...rest }: KeptPayloadOrder): string {
  const moment = (at: number | null) => (at === null ? null : new Date(at).toISOString());
  const named = {
    decision,
    agent,
    person,
    from: moment(rest.from_at),
    until: moment(rest.until_at),
  };
  return Object.entries(named)
    .flatMap(([name, value]) => (value === null ? [] : [`${name} ${value}`]))
    .join(', ');
}

function selectionOf({ decision, agent, person, from, until }: Selected): PayloadSelection {
  const selection = {
    ...(decision === undefined ? {} : { decision_id: decision }),
    ...(agent === undefined ? {} : { agent }),
    ...(person === undefined ? {} : { person }),
    ...(from === undefined ? {} : { from }),
    ...(until === undefined ? {} : { until }),
  };
  if (Object.keys(selection).length > 0) return selection;
  throw new CliError('Whose payloads?', {
    exitCode: EXIT.misuse,
    help: 'add --decision, --agent, --person, --from or --until',
  });
}

function momentGiven(text: string): number {
  const at = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at) || at < 0) throw new InvalidArgumentError('A time is RFC 3339.');
  return at;
}

// `kill`, `release`, `switches`: stops a scope at once on every worker, until two persons release it.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { print, printJson, printTable } from '#cli/output.ts';
import { addVerb } from '#cli/verb.ts';
import { PLATFORM } from '#contracts/ids.ts';
import type { Switch } from '#contracts/stop.ts';

const SCOPES = 'global, tenant, agent, tool, upstream, person, workflow or session';

interface StopOptions extends Reach {
  readonly reason?: string;
}

export function register(program: Command): void {
  reachable(
    addVerb(program, 'kill <scope> [id]', {
      summary: `Stop a scope at once: ${SCOPES}.`,
      examples: [
        ['./countersign kill agent shop-agent --reason "loops"', 'one agent'],
        [
          './countersign kill tool refund_order --reason "wrong amounts"',
          'one tool, for everybody',
        ],
        ['./countersign kill global --reason "incident 17"', 'every call of every tenant'],
      ],
    }),
  )
    .requiredOption('--reason <text>', 'why; it stays in the chain, so name no person')
    .action(async (scope: string, id: string | undefined, options: StopOptions) => {
      const answer = await send(options, 'switches', { scope, id });
      tellChange(options, answer, `stopped ${named(scope, id)}; two persons release it`);
    });
  reachable(
    addVerb(program, 'release <scope> [id]', {
      summary: 'Release a kill switch. It takes two persons: the first asks, the second releases.',
      examples: [
        ['./countersign release agent shop-agent --as ada', 'asks'],
        ['./countersign release agent shop-agent --as grace', 'releases'],
      ],
    }),
  )
    .option('--reason <text>', 'why')
    .action(async (scope: string, id: string | undefined, options: StopOptions) => {
      const answer = await send(options, 'switches/release', { scope, id });
      const { engaged } = answer as { engaged: boolean };
      const done = engaged ? 'waits for another person to release' : 'released';
      tellChange(options, answer, `${done} ${named(scope, id)}`);
    });
  reachable(
    addVerb(program, 'switches', {
      summary: 'List engaged kill switches.',
      examples: [['./countersign switches', 'what stands still, since when, by whom and why']],
    }),
  ).action(list);
}

const named = (scope: string, id = ''): string => (id === '' ? scope : `${scope} ${id}`);

function send(
  { reason, ...options }: StopOptions,
  path: string,
  what: { readonly scope: string; readonly id: string | undefined },
): Promise<unknown> {
  // Undefined members are not sent.
  const everywhere = what.scope === 'global' ? { tenant: PLATFORM } : {};
  return adminClient({ ...options, ...everywhere }).tenantCall('POST', path, { ...what, reason });
}

async function list(options: Reach): Promise<void> {
  // Lists have this shape (contracts/admin-bodies.ts).
  const { items } = (await adminClient(options).tenantCall('GET', 'switches')) as {
    items: readonly { readonly value: Switch }[];
  };
  if (options.json === true) printJson({ items });
  else if (items.length === 0) print('nothing is stopped');
  else {
    printTable(
      items.map(({ value: { scope, id, at, by, reason, release } }) => [
        named(scope, id),
        new Date(at).toISOString(),
        by,
        reason,
        release?.by ?? '',
      ]),
      ['stopped', 'since', 'by', 'reason', 'release asked by'],
    );
  }
}

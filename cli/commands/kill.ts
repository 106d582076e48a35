// `kill`, `release`, `switches`: stops a scope at once on every worker, until two persons release it.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { countGiven } from '#cli/given.ts';
import { CliError, EXIT, paint, print, printJson, printTable } from '#cli/output.ts';
import { addVerb } from '#cli/verb.ts';
import type { DrillReport } from '#contracts/drill.ts';
import { PLATFORM } from '#contracts/ids.ts';
import type { Switch } from '#contracts/stop.ts';

const SCOPES = 'global, tenant, agent, tool, upstream, person, workflow or session';

interface StopOptions extends Reach {
  readonly reason?: string;
}

interface KillOptions extends StopOptions {
  readonly drill?: true;
  readonly rounds?: number;
  readonly within?: number;
}

export function register(program: Command): void {
  reachable(
    addVerb(program, 'kill [scope] [id]', {
      short: 'Stop an agent, a tool, a tenant ... or everything, at once.',
      summary: `Stop a scope at once: ${SCOPES}.`,
      examples: [
        ['./countersign kill agent shop-agent --reason "loops"', 'one agent'],
        [
          './countersign kill tool refund_order --reason "wrong amounts"',
          'one tool, for everybody',
        ],
        ['./countersign kill global --reason "incident 17"', 'every call of every tenant'],
        ['./countersign kill --drill', 'stops nothing: how fast would every process see it?'],
      ],
    }),
  )
    .option('--reason <text>', 'why; it stays in the chain, so name no person')
    .option('--drill', 'stop nothing, measure. Exit code 1 when a process did not see it in time')
    .option('--rounds <count>', 'how often a drill measures (default 10)', countGiven)
    .option('--within <ms>', 'the bound of a drill (default 1000)', countGiven)
    .action(async (scope: string | undefined, id: string | undefined, options: KillOptions) => {
      if (options.drill === true) return drill(scope, options);
      if (scope === undefined) throw misuse('Stop what?', './countersign kill --help');
      if (options.reason === undefined) throw misuse('Why?', 'add --reason "..."');
      const answer = await send(options, 'switches', { scope, id });
      tellChange(options, answer, `stopped ${named(scope, id)}; two persons release it`);
    });
  reachable(
    addVerb(program, 'release <scope> [id]', {
      short: 'Let it go on. It takes two persons.',
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
      short: 'List what is stopped.',
      summary: 'List engaged kill switches.',
      examples: [['./countersign switches', 'what stands still, since when, by whom and why']],
    }),
  ).action(list);
}

const misuse = (message: string, help: string): CliError =>
  new CliError(message, { exitCode: EXIT.misuse, help });

async function drill(scope: string | undefined, options: KillOptions): Promise<void> {
  if (scope !== undefined) throw misuse('A drill has no scope.', './countersign kill --drill');
  const { reason, rounds, within: within_ms, ...reach } = options;
  // Undefined members are not sent.
  const body = { reason, rounds, within_ms };
  const client = adminClient({ ...reach, tenant: PLATFORM });
  const report = (await client.tenantCall('POST', 'switches/drill', body)) as DrillReport;
  if (report.missed.length > 0) process.exitCode = EXIT.finding;
  if (options.json === true) return printJson(report);
  const shown = (ms: number | undefined) => (ms === undefined ? '-' : ms.toFixed(1));
  printTable(
    report.processes.map(({ name, seen, ms }) => [
      name,
      `${seen} of ${report.rounds}`,
      ...[ms?.p50, ms?.p99, ms?.worst].map(shown),
    ]),
    ['process', 'seen', 'p50 ms', 'p99 ms', 'worst ms'],
  );
  print(
    report.missed.length === 0
      ? `all saw it within ${report.within_ms} ms; nothing was stopped`
      : paint('red', `not within ${report.within_ms} ms: ${report.missed.join(', ')}`),
  );
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

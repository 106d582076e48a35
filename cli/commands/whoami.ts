// `whoami`: what the gateway says of an agent, to its developer. Nothing is judged or recorded.

import type { Command } from 'commander';

import { caveatText } from '#cli/caveat-words.ts';
import { callerOf, ingressCall, reachable, type Caller, type Reach } from '#cli/client.ts';
import { paint, print, printJson, printTable } from '#cli/output.ts';
import { visible } from '#cli/untrusted.ts';
import { addVerb } from '#cli/verb.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import type { Me as Shown } from '#contracts/http.ts';

export function register(program: Command): void {
  const verb = addVerb(program, 'whoami', {
    short: 'Say who an agent is, what it may call, and its budgets left.',
    summary: 'Say who an agent is here, which tools it may call and why not, and its budgets left.',
    examples: [
      ['./countersign whoami', 'the agent of the demo'],
      ['./countersign whoami --capability-file FILE', 'the same agent with another capability'],
    ],
  });
  reachable(verb)
    .option('--identity-file <file>', "file with the agent's identity JWT (default: the demo's)")
    .option(
      '--capability-file <file>',
      "file with a capability (default: the demo's; 'none' sends none)",
    )
    .action(whoami);
}

async function whoami(options: Reach & Caller): Promise<void> {
  // Its shape is fixed in contracts/http.ts.
  const me = (await ingressCall(options, {
    method: 'GET',
    path: '/v1/me',
    headers: callerOf(options),
  })) as Shown;
  if (options.json === true) printJson(me);
  else tell(me);
}

function tell(me: Shown): void {
  tellWho(me);
  print();
  tellTools(me);
  tellBudgets(me);
  tellHolds(me);
}

function tellWho({ identity, capability }: Shown): void {
  const { agent, agent_class: kind, on_behalf_of: person, actors } = identity;
  const rows = [
    ['agent', `${agent}${kind === '' ? '' : ` (${kind})`} in ${identity.tenant}`],
    ['acts for', person === '' ? 'nobody' : person],
    ['asked by', actors.slice(1).join(', ')],
    ['workflow', identity.workflow],
    ['session', identity.session],
    ['task', identity.task],
    ['identity', `until ${identity.expires_at}`],
    ['capability', `${capability.kind}${capability.id === '' ? '' : ` ${capability.id}`}`],
    ['', capability.reason === undefined ? '' : because(capability.reason)],
    // Strictly read before they were sent (contracts/http.ts leaves their members open).
    ...capability.caveats.map((caveat) => ['', visible(caveatText(caveat as Caveat))]),
  ];
  printTable(rows.filter(([, value]) => value !== ''));
}

function tellTools({ tools }: Shown): void {
  printTable(
    tools.map(({ upstream, name, visible, reason }) => [
      visible ? paint('green', 'may call') : paint('dim', 'hidden  '),
      upstream === '' ? name : `${upstream}/${name}`,
      reason === undefined ? '' : because(reason),
    ]),
  );
  if (tools.length === 0) print('there are no tools');
}

function tellBudgets({ budgets }: Shown): void {
  if (budgets.length === 0) return;
  print();
  printTable(
    budgets.map(({ scope, window, unit, used, limit, resets_at: resetsAt }) => {
      const shown = (count: number) => (unit === undefined ? `${count}` : `${count / 1e6}`);
      const left = `${shown(limit - used)} of ${shown(limit)} left`;
      return [scope, `${unit ?? 'calls'} per ${window}`, left, `until ${resetsAt}`];
    }),
  );
}

function tellHolds({ holds }: Shown): void {
  if (holds?.length === 0) return;
  print();
  if (holds === undefined) {
    print('which calls are held, nobody can say now');
    return;
  }
  printTable(
    holds.map(({ approval_id: id, upstream, tool, state, expires_at: until }) => [
      state === 'approved' ? 'approved: send it again' : 'held',
      upstream === '' ? tool : `${upstream}/${tool}`,
      id,
      `until ${until}`,
    ]),
  );
}

const because = ({ code, help }: { readonly code: string; readonly help: string }): string =>
  help === '' ? code : `${code}: ${help}`;

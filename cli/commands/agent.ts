// `agent`: which agents are known, and what one may do that brings no capability.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { jsonGiven, repeated } from '#cli/given.ts';
import { addListing } from '#cli/things.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { Agent } from '#contracts/control.ts';

interface PutOptions extends Reach {
  readonly class?: string;
  readonly owner?: string;
  readonly issuer?: string;
  readonly grant?: string[];
  readonly enforcementPoint?: true;
}

export function register(program: Command): void {
  const group = addGroup(program, 'agent', {
    short: 'Agents, their classes and owners.',
    summary: 'Registered agents: put, list, delete.',
    examples: [['./countersign agent list', 'who may call at all']],
  });
  reachable(
    addVerb(group, 'put <id> [json]', {
      summary: 'Register an agent under the id that its identity tokens name.',
      examples: [
        [
          './countersign agent put shop-agent --class support --owner ann@example.com --issuer corp',
          'calls need a capability',
        ],
        [
          './countersign agent put reader --grant lookup_order --grant list_orders',
          'may call these without one',
        ],
      ],
    }),
  )
    .option('--class <name>', 'class that policies and modes go by')
    .option('--owner <who>', 'who answers for it')
    .option('--issuer <id>', 'only identities of this registered issuer')
    .option('--grant <tool>', 'a tool that it may call without a capability; repeat', repeated)
    .option('--enforcement-point', 'may name other subjects (AuthZEN)')
    .action(async (id: string, json: string | undefined, options: PutOptions) => {
      const body = json === undefined ? agentOf(options) : jsonGiven(json);
      const path = `agents/${encodeURIComponent(id)}`;
      const answer = await adminClient(options).tenantCall('PUT', path, body);
      tellChange(options, answer, `registered agent ${id}`);
    });
  addListing<Agent>(group, {
    word: 'agent',
    many: 'agents',
    heading: ['class', 'owner', 'issuer', 'without a capability'],
    row: ({ class: kind, owner, issuer, grant }) => [
      kind ?? '-',
      owner ?? '-',
      issuer ?? 'any',
      grant?.tools.join(', ') ?? 'nothing',
    ],
  });
}

function agentOf({ class: kind, owner, issuer, grant, enforcementPoint }: PutOptions): Agent {
  return {
    ...(kind === undefined ? {} : { class: kind }),
    ...(owner === undefined ? {} : { owner }),
    ...(issuer === undefined ? {} : { issuer }),
    ...(grant === undefined ? {} : { grant: { tools: grant } }),
    ...(enforcementPoint === undefined ? {} : { enforcement_point: true }),
  };
}

// What `up` says when the system is ready: loud that it is a demo, where everything is, what to paste next.

import { alignColumns, paint, print } from '#cli/output.ts';

import type { SystemState } from './run-state.ts';

/** Prints the addresses and the commands to try. */
export function announce(state: SystemState | undefined): void {
  if (state === undefined) return;
  const { urls } = state;
  print();
  print(paint(['bold', 'yellow'], 'Countersign is running: a LOCAL DEMO, NOT FOR PRODUCTION.'));
  print(
    'It listens on 127.0.0.1 only; its keys and tokens are made up and lie in .countersign/secrets.',
  );
  print();
  const places = [
    ['agents', urls.ingress, 'decisions, AuthZEN, MCP'],
    ['operators', urls.admin, 'policies, facts, capabilities, audit'],
    [
      'approvals',
      `${urls.admin}/approvals`,
      'sign in with what ./countersign operator code grace says',
    ],
    ['demo shop', urls.upstream, 'a real MCP server behind it'],
    ['demo chat', urls.chat, 'stands in for Slack: what people are asked, with buttons'],
  ];
  for (const line of alignColumns(places)) print(`  ${line}`);
  for (const { title, command, expect } of state.hints ?? []) {
    print();
    print(`${paint('bold', title)}`);
    print(`  ${command}`);
    print(paint('dim', `  ${expect}`));
  }
  print();
  const next = [
    ['./countersign status', 'every address, process and version'],
    ['npm run down', 'stop it (Ctrl-C where it runs in a terminal); the data stays'],
  ];
  for (const line of alignColumns(next)) print(`  ${line}`);
  print();
}

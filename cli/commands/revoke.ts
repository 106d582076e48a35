// `revoke` and `revocations`: authority taken away for good, at once and on every worker.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, readToken, type Reach } from '#cli/client.ts';
import { CliError, EXIT, paint, print, printJson, printTable } from '#cli/output.ts';
import { addVerb } from '#cli/verb.ts';
import { decodeCapability } from '#contracts/capability.ts';
import { type Revocation, revocationIdOf } from '#contracts/stop.ts';

interface RevokeOptions extends Reach {
  readonly reason: string;
  readonly capabilityFile?: string;
}

export function register(program: Command): void {
  reachable(
    addVerb(program, 'revoke [kind] [id]', {
      short: 'Take authority away for good.',
      summary: 'Take authority away for good: capability, agent, person, workflow or task.',
      examples: [
        ['./countersign revoke person ann@example.com --reason "left"', 'all her agents stop'],
        [
          './countersign revoke --capability-file FILE --reason "leaked"',
          'this token and all narrowed from it',
        ],
      ],
    }),
  )
    .requiredOption('--reason <text>', 'why; it stays in the chain, so name no person')
    .option('--capability-file <file>', 'revoke the token in this file, wherever copies of it are')
    .action(revoke);
  reachable(
    addVerb(program, 'revocations', {
      summary: 'List what was revoked.',
      examples: [['./countersign revocations', 'what, when, by whom and why']],
    }),
  ).action(list);
}

async function revoke(
  kind: string | undefined,
  id: string | undefined,
  options: RevokeOptions,
): Promise<void> {
  const { reason, capabilityFile: file } = options;
  if (file === undefined ? id === undefined : kind !== undefined) {
    throw new CliError('What shall be revoked?', {
      exitCode: EXIT.misuse,
      help: 'name a kind and an id, or --capability-file FILE',
    });
  }
  const what = file === undefined ? { kind, id } : { kind: 'capability', id: linkOf(file) };
  const body = { ...what, reason };
  const answer = await adminClient(options).tenantCall('POST', 'revocations', body);
  tellChange(options, answer, `revoked ${what.kind} ${what.id}`);
  if (options.json === true) return;
  if (file !== undefined) print(paint('dim', `  token     ${file}`));
  print(paint('dim', `  refused   ${MEANT[what.kind ?? ''] ?? ''}`));
}

/** What falls with each kind, on every worker that knows the revision. */
const MEANT: Readonly<Record<string, string>> = {
  capability: 'this token, wherever copies of it are, and every token narrowed from it',
  agent: 'every call of this agent, and every call made through it',
  person: 'every call on behalf of this person, by whichever agent',
  workflow: 'every call in this workflow',
  task: 'every call for this task',
};

/** The revocation id of the last link: what was narrowed from this token falls with it, its parent does not. */
function linkOf(file: string): string {
  const decoded = decodeCapability(readToken(file));
  if (decoded.ok) return revocationIdOf(decoded.capability.signature);
  throw new CliError(`${file} holds no capability: ${decoded.detail}.`, { exitCode: EXIT.misuse });
}

async function list(options: Reach): Promise<void> {
  // Lists have this shape (contracts/admin-bodies.ts).
  const { items } = (await adminClient(options).tenantCall('GET', 'revocations')) as {
    items: readonly { readonly value: Revocation }[];
  };
  if (options.json === true) printJson({ items });
  else if (items.length === 0) print('there are none');
  else {
    printTable(
      items.map(({ value: { kind, id, at, by, reason } }) => [
        kind,
        id,
        new Date(at).toISOString(),
        by,
        reason,
      ]),
      ['kind', 'id', 'since', 'by', 'reason'],
    );
  }
}

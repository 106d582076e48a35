// `mint`: a capability for an agent, as narrow as its task. The token goes into a file that only we may read.

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { Command } from 'commander';

import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { durationGiven, jsonGiven } from '#cli/given.ts';
import { placesIn, systemFolder } from '#cli/local/places.ts';
import { writePrivate } from '#cli/local/private-file.ts';
import { paint, print, printJson } from '#cli/output.ts';
import { limitable, type Limits, termsOf } from '#cli/terms.ts';
import { addVerb } from '#cli/verb.ts';
import type { MintAnswer, MintRequest } from '#contracts/admin-bodies.ts';

interface MintOptions extends Reach, Limits {
  readonly agent: string;
  readonly for: number;
  readonly terms?: string;
  readonly print?: true;
  readonly out?: string;
}

export function register(program: Command): void {
  const verb = addVerb(program, 'mint', {
    short: 'Make a capability: what an agent may do at most.',
    summary: 'Mint a capability: what an agent may do at most, until when, how often.',
    examples: [
      [
        './countersign mint --agent shop-agent --tool lookup_order --calls 5 --for 1h',
        'into a file of mode 0600',
      ],
      [
        `./countersign mint --agent shop-agent --tool 'lookup_*' --for 15m --print`,
        'a pattern; the token on standard output',
      ],
    ],
  });
  limitable(reachable(verb))
    .requiredOption('--agent <agent>', 'the registered agent that may use it')
    .option(
      '--for <duration>',
      'how long it is valid: 90s, 15m, 1h, at most 31d',
      durationGiven,
      3_600,
    )
    .option('--terms <json>', 'further terms as JSON or @file (see docs/capability.md)')
    .option('--print', 'print the token instead of writing a file')
    .option('--out <file>', 'where to write it')
    .action(mint);
}

async function mint(options: MintOptions): Promise<void> {
  const answer = await adminClient(options).tenantCall('POST', 'capabilities', requestOf(options));
  // The answer's shape is fixed in contracts/admin-bodies.ts.
  const { capability, ...minted } = answer as MintAnswer;
  if (options.print === true) {
    if (options.json === true) printJson({ ...minted, capability });
    else print(capability);
    return;
  }
  const file = options.out ?? join(ownFolder(), `capability-${minted.id}`);
  writePrivate(file, `${capability}\n`);
  if (options.json === true) {
    printJson({ ...minted, file });
    return;
  }
  print(`minted ${minted.id} for ${minted.agent}, valid until ${minted.expires_at}`);
  print(`  ${file}`);
  print(paint('dim', `  ./countersign call TOOL '{...}' --capability-file ${file}`));
}

/** With the other secrets of the local system, else here. */
function ownFolder(): string {
  const { secrets } = placesIn(systemFolder());
  return existsSync(secrets) ? secrets : '.';
}

function requestOf(options: MintOptions): MintRequest {
  const { terms } = options;
  return {
    ...(terms === undefined ? {} : (jsonGiven(terms) as object)),
    agent: options.agent,
    expires_in_s: options.for,
    ...termsOf(options),
  } as MintRequest; // admin checks it
}

// `attenuate` and `inspect`: a capability in the hands of its holder. Offline, without any key.

import { dirname, join } from 'node:path';

import type { Command } from 'commander';

import { caveatText } from '#cli/caveat-words.ts';
import { readToken } from '#cli/client.ts';
import { durationGiven, jsonGiven } from '#cli/given.ts';
import { writePrivate } from '#cli/local/private-file.ts';
import { CliError, EXIT, paint, print, printJson, printTable } from '#cli/output.ts';
import { limitable, type Limits, termsOf } from '#cli/terms.ts';
import { visible } from '#cli/untrusted.ts';
import { addVerb } from '#cli/verb.ts';
import { attenuate as narrow, decodeCapability } from '#contracts/capability.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import { readCapability, type DecodedCapability } from '#contracts/capability/format.ts';
import { expiresAt } from '#contracts/capability/judge.ts';
import { MalformedCapability } from '#contracts/capability/malformed.ts';
import { caveatsOf, ImpossibleTerms } from '#contracts/capability/terms.ts';
import { revocationIdOf } from '#contracts/stop.ts';

interface AttenuateOptions extends Limits {
  readonly for?: number;
  readonly caveat?: unknown[];
  readonly out?: string;
  readonly print?: true;
  readonly json?: true;
}

export function register(program: Command): void {
  limitable(
    addVerb(program, 'attenuate <file>', {
      short: 'Make a narrower capability, offline.',
      summary: 'Make a narrower capability of the one in a file: offline, without any key.',
      examples: [
        ['./countersign attenuate FILE --tool lookup_order --calls 1 --for 5m', 'into a new file'],
        [
          `./countersign attenuate FILE --actor sub-agent --where '/amount<=50' --print`,
          'for a sub-agent; the token on standard output',
        ],
      ],
    }),
  )
    .option('--for <duration>', 'how long it is valid from now: 90s, 15m, 1h', durationGiven)
    .option('--caveat <json>', 'a caveat as docs/capability.md has it; repeat for more', caveat)
    .option('--out <file>', 'where to write it (default: beside the given one)')
    .option('--print', 'print the token instead of writing a file')
    .action(attenuate);
  addVerb(program, 'inspect <file>', {
    short: 'Say what a capability allows at most.',
    summary: 'Say what a capability allows at most. Nothing of it is verified: only a worker can.',
    examples: [['./countersign inspect FILE', 'agent, expiry, each caveat, revocation id']],
  }).action(inspect);
}

const caveat = (text: string, before: readonly unknown[] = []): unknown[] => [
  ...before,
  jsonGiven(text),
];

function attenuate(file: string, options: AttenuateOptions): void {
  const added = caveatsGiven(options);
  if (added.length === 0) {
    throw new CliError('Narrower in what?', {
      exitCode: EXIT.misuse,
      help: './countersign attenuate --help',
    });
  }
  const capability = narrowed(readToken(file), added, file);
  const said = describe(readCapability(capability));
  if (options.print === true) {
    if (options.json === true) printJson({ ...said, capability });
    else print(capability);
    return;
  }
  const out = options.out ?? join(dirname(file), `capability-${said.revocation_id.slice(0, 16)}`);
  writePrivate(out, `${capability}\n`);
  if (options.json === true) {
    printJson({ ...said, file: out });
    return;
  }
  print(`narrowed: ${visible(added.map(caveatText).join('; '))}`);
  print(`  ${out}`);
  print(paint('dim', `  ./countersign call TOOL '{...}' --capability-file ${out}`));
}

function caveatsGiven(options: AttenuateOptions): Caveat[] {
  const terms = termsOf(options);
  const now = Math.floor(Date.now() / 1_000);
  try {
    const stated = caveatsOf(
      options.for === undefined ? terms : { ...terms, expires_at: now + options.for },
    );
    return [...stated, ...((options.caveat ?? []) as Caveat[])]; // `narrow` reads them strictly
  } catch (error) {
    if (!(error instanceof ImpossibleTerms)) throw error;
    throw new CliError(`Not possible: ${error.message}.`, { exitCode: EXIT.misuse, cause: error });
  }
}

function narrowed(token: string, added: readonly Caveat[], file: string): string {
  const parent = decodedIn(token, file);
  try {
    return narrow(token, added);
  } catch (error) {
    if (!(error instanceof MalformedCapability)) throw error;
    const many = parent.caveats.length + added.length;
    throw new CliError(`Not possible: ${error.detail} (${many} caveats).`, {
      exitCode: EXIT.misuse,
      cause: error,
    });
  }
}

function decodedIn(token: string, file: string): DecodedCapability {
  const decoded = decodeCapability(token);
  if (decoded.ok) return decoded.capability;
  throw new CliError(`${file} holds no capability: ${decoded.detail}.`, { exitCode: EXIT.misuse });
}

/** What is shown of a capability, in the words of the SDKs. */
function describe({ claims, caveats, signature }: DecodedCapability) {
  return {
    id: claims.jti,
    issuer: claims.issuer,
    tenant: claims.tenant,
    agent: claims.subject,
    issued_at: claims.issuedAt,
    not_before: claims.notBefore,
    expires_at: expiresAt({ caveats }),
    caveats,
    revocation_id: revocationIdOf(signature),
  };
}

function inspect(file: string, options: { readonly json?: true }): void {
  const said = describe(decodedIn(readToken(file), file));
  if (options.json === true) {
    printJson(said);
    return;
  }
  const time = (seconds: number | null) =>
    seconds === null ? 'never' : new Date(seconds * 1_000).toISOString();
  printTable([
    ['id', said.id],
    ['issued', `${time(said.issued_at)} by ${said.issuer}`],
    ['tenant', said.tenant],
    ['agent', said.agent],
    ['expires', time(said.expires_at)],
    ['revocation id', said.revocation_id],
    ...said.caveats.map((caveat, index) => [
      index === 0 ? 'limits' : '',
      visible(caveatText(caveat)),
    ]),
  ]);
}

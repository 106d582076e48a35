// `operator`: the persons who operate: who they are, what they may, how they sign in.

import { hash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, localState, reachable, type Reach } from '#cli/client.ts';
import { repeated } from '#cli/given.ts';
import { placesIn, systemFolder } from '#cli/local/places.ts';
import { writePrivate } from '#cli/local/private-file.ts';
import { signInFiles } from '#cli/local/secrets.ts';
import { CliError, EXIT, print, printJson, printTable } from '#cli/output.ts';
import type { Registered } from '#cli/things.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { Operator } from '#contracts/control.ts';
import { fromBase32, totpCode, totpStep } from '#contracts/totp.ts';

interface PutOptions extends Reach {
  readonly name?: string;
  readonly role?: string[];
  readonly of?: string[];
  readonly identity?: string[];
  readonly tokenOut?: string;
}

interface OutOptions extends Reach {
  readonly out?: string;
  readonly from?: string;
}

const ROLES = 'viewer, approver, operator or admin';

export function register(program: Command): void {
  const group = addGroup(program, 'operator', {
    short: 'Persons, their roles, and how they sign in.',
    summary: 'Persons who operate: put, list, password, totp, disable.',
    examples: [
      ['./countersign operator list', 'who may do what'],
      ['./countersign operator code grace', 'how a person of the demo signs in'],
    ],
  });
  registerPersons(group);
  registerSignIn(group);
}

function registerPersons(group: Command): void {
  reachable(
    addVerb(group, 'put <id>', {
      summary: 'Register a person, or change roles and tenants; their token stays.',
      examples: [
        [
          './countersign operator put heidi --name Heidi --role approver --of demo',
          'approves for one tenant',
        ],
        [
          './countersign operator put alice --role approver --identity demo-idp:alice@shop.example',
          'who is known to an issuer of agents, too',
        ],
        [
          './countersign operator put heidi --role operator --token-out heidi.token',
          'with a new token',
        ],
      ],
    }),
  )
    .option('--name <name>', 'how pages call the person (default: the id)')
    .requiredOption('--role <role>', `${ROLES}; repeat`, repeated)
    .option('--of <tenant>', 'only for this tenant; repeat (default: all)', repeated)
    .option(
      '--identity <issuer:subject>',
      'who they are to an issuer of identities; repeat',
      repeated,
    )
    .option('--token-out <file>', 'make a new token for API and command line, in this file')
    .action(put);
  reachable(
    addVerb(group, 'list', {
      summary: 'List persons with their roles and tenants.',
      examples: [['./countersign operator list', 'as a table']],
    }),
  ).action(async (options: Reach) => {
    // Lists have this shape (contracts/admin-bodies.ts).
    const { items } = (await adminClient(options).call('GET', '/v1/operators')) as {
      items: readonly Registered<Operator>[];
    };
    if (options.json === true) printJson({ items });
    else
      printTable(
        items.map(({ id, value: { name, roles, tenants = [], disabled } }) => [
          id,
          name,
          disabled === true ? 'disabled' : roles.join(', '),
          tenants.length === 0 ? 'all' : tenants.join(', '),
        ]),
        ['id', 'name', 'roles', 'tenants'],
      );
  });
  reachable(
    addVerb(group, 'disable <id>', {
      summary:
        'Stop a person at once: token, sessions and decisions. To put them again lets them in.',
      examples: [['./countersign operator disable heidi', 'who left, or whose telephone is lost']],
    }),
  ).action(async (id: string, options: Reach) => {
    const path = `/v1/operators/${encodeURIComponent(id)}/disable`;
    tellChange(options, await adminClient(options).call('POST', path), `disabled ${id}`);
  });
}

function registerSignIn(group: Command): void {
  reachable(
    addVerb(group, 'password <id>', {
      summary: 'Give a person a password for the pages: a random one, or that of a file.',
      examples: [
        ['./countersign operator password heidi --out heidi.password', 'a random one'],
        ['./countersign operator password heidi --from chosen.txt', 'the first line of a file'],
      ],
    }),
  )
    .option('--out <file>', 'where to write the random one (default: the terminal)')
    .option('--from <file>', 'take this one')
    .action(setPassword);
  reachable(
    addVerb(group, 'totp <id>', {
      summary:
        'Give a person one-time codes for the pages: a new secret for their authenticator app.',
      examples: [['./countersign operator totp heidi', 'shown once']],
    }),
  )
    .option('--out <file>', 'where to write the secret (default: the terminal)')
    .action(setCodes);
  addVerb(group, 'code <id>', {
    summary:
      'What a person of the local demo types to sign in: address, name, password, code of now.',
    examples: [
      ['./countersign operator code grace', 'a code is good once, and for about a minute'],
    ],
  }).action(tellCode);
}

async function put(id: string, options: PutOptions): Promise<void> {
  const { name = id, role = [], of = [], identity = [], tokenOut } = options;
  const token = tokenOut === undefined ? undefined : `cso_${randomBytes(24).toString('hex')}`;
  const body = {
    name,
    roles: role,
    tenants: of,
    identities: identity.map(identityOf),
    ...(token === undefined ? {} : { token_hash: `sha256:${hash('sha256', token, 'hex')}` }),
  };
  const path = `/v1/operators/${encodeURIComponent(id)}`;
  const answer = await adminClient(options).call('PUT', path, body);
  if (token !== undefined && tokenOut !== undefined) writePrivate(tokenOut, `${token}\n`);
  tellChange(options, answer, `registered ${id}`);
}

/** The issuer is its id here, which has no colon; a subject may have any. */
function identityOf(text: string): { readonly issuer: string; readonly subject: string } {
  const [, issuer = '', subject = ''] = /^([^:]+):(.+)$/.exec(text) ?? [];
  if (issuer !== '') return { issuer, subject };
  throw new CliError(`${text} is no identity.`, {
    exitCode: EXIT.misuse,
    help: 'name it as ISSUER:SUBJECT, such as demo-idp:alice@shop.example',
  });
}

async function setPassword(id: string, options: OutOptions): Promise<void> {
  const { out, from } = options;
  const password = from === undefined ? randomBytes(15).toString('base64url') : firstLine(from);
  const path = `/v1/operators/${encodeURIComponent(id)}/password`;
  const answer = await adminClient(options).call('PUT', path, { password });
  if (out !== undefined) writePrivate(out, `${password}\n`);
  tellChange(options, answer, `${id} has a new password; their sessions ended`);
  if (out === undefined && from === undefined && options.json !== true)
    print(`  password  ${password}`);
}

async function setCodes(id: string, options: OutOptions): Promise<void> {
  const path = `/v1/operators/${encodeURIComponent(id)}/totp`;
  const answer = await adminClient(options).call('PUT', path, {});
  // The answer has this shape (contracts/admin-bodies.ts).
  const { secret, uri } = answer as { readonly secret: string; readonly uri: string };
  if (options.out !== undefined) writePrivate(options.out, `${secret}\n`);
  tellChange(options, answer, `${id} has new one-time codes; their sessions ended`);
  if (options.out !== undefined || options.json === true) return;
  print(`  secret    ${secret}`);
  print(`  address   ${uri}`);
}

function tellCode(id: string, options: { readonly json?: true }): void {
  const { operators } = placesIn(systemFolder());
  const files = signInFiles(operators, id);
  const admin = localState()?.urls.admin;
  if (admin === undefined || !existsSync(files.totp)) {
    throw new CliError(`No local demo with a person ${id} runs.`, {
      exitCode: EXIT.finding,
      help: 'npm run up   (its persons are ada and grace)',
    });
  }
  const secret = fromBase32(firstLine(files.totp)) ?? new Uint8Array();
  const page = `${admin}/approvals`;
  const told = {
    page,
    name: id,
    password: firstLine(files.password),
    code: totpCode(secret, totpStep(Date.now())),
  };
  if (options.json === true) printJson(told);
  else printTable(Object.entries(told));
}

function firstLine(file: string): string {
  try {
    return readFileSync(file, 'utf8').split('\n')[0]?.trim() ?? '';
  } catch (cause) {
    throw new CliError(`The file ${file} cannot be read.`, { cause });
  }
}

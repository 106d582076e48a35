// `compat`: what a tenant that comes from IntentGate goes on using: its tokens, and its route.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, readToken, type Reach, Refused } from '#cli/client.ts';
import { print, printJson, printTable } from '#cli/output.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { CompatRequest } from '#contracts/compat.ts';

interface PutOptions extends Reach {
  readonly keyFile?: string;
  readonly tokenTenant?: string;
  readonly route?: true;
}

export function register(program: Command): void {
  const group = addGroup(program, 'compat', {
    short: 'Tokens and the route of IntentGate, for who comes from it.',
    summary: "IntentGate's tokens and its route POST /v1/mcp: put, show, delete. Off by default.",
    examples: [['./countersign compat show', 'what is switched on']],
  });
  reachable(
    addVerb(group, 'put', {
      summary: 'Switch on what is named, and off what is not.',
      examples: [
        [
          './countersign compat put --key-file intentgate.key --token-tenant default',
          'accept tokens of an IntentGate; calls still need an identity',
        ],
        [
          './countersign compat put --key-file intentgate.key --token-tenant default --route',
          'its programs go on as they are: who holds a token is its agent',
        ],
      ],
    }),
  )
    .option('--key-file <file>', "IntentGate's master key, base64")
    .option('--token-tenant <name>', 'the tenant that its tokens name (default: this one)')
    .option('--route', 'answer POST /v1/mcp, without any other identity than the capability')
    .action(async (options: PutOptions) => {
      const body = requestOf(options);
      const answer = await adminClient(options).tenantCall('PUT', 'compat', body);
      const tokens = body.key === undefined ? 'no foreign tokens' : 'tokens of the imported key';
      tellChange(options, answer, `${tokens}, route ${body.route === true ? 'on' : 'off'}`);
    });
  reachable(
    addVerb(group, 'show', {
      summary: 'Show what is switched on. The key is never shown.',
      examples: [['./countersign compat show', 'key id, tenant of the tokens, route']],
    }),
  ).action(show);
  reachable(
    addVerb(group, 'delete', {
      summary: 'Switch everything off. Tokens of the imported key are refused from then on.',
      examples: [['./countersign compat delete', 'at once, on every worker']],
    }),
  ).action(async (options: Reach) => {
    const answer = await adminClient(options).tenantCall('DELETE', 'compat');
    tellChange(options, answer, 'switched off');
  });
}

function requestOf({ keyFile, tokenTenant, route }: PutOptions): CompatRequest {
  return {
    ...(keyFile === undefined ? {} : { key: readToken(keyFile) }),
    ...(tokenTenant === undefined ? {} : { token_tenant: tokenTenant }),
    ...(route === undefined ? {} : { route }),
  };
}

async function show(options: Reach): Promise<void> {
  const client = adminClient(options);
  // Its shape is fixed in contracts/admin-api.ts.
  const { value } = (await client.tenantCall('GET', 'compat').catch(offWhereNothingIsPut)) as {
    value: { key_id?: string; token_tenant?: string; route?: boolean };
  };
  if (options.json === true) {
    printJson(value);
    return;
  }
  printTable([
    ['imported key', value.key_id ?? 'none'],
    ['its tokens name', value.token_tenant ?? client.tenant],
    ['POST /v1/mcp', value.route === true ? 'on' : 'off'],
  ]);
  if (value.route === true) print('  without any other identity than the capability');
}

/** Off is what a tenant is that never put anything. */
function offWhereNothingIsPut(cause: unknown): { readonly value: { readonly route: false } } {
  if (cause instanceof Refused && cause.code === 'thing.not_found')
    return { value: { route: false } };
  throw cause;
}

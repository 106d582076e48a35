// `issuer`: whose tokens prove who an agent is.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { jsonGiven, repeated } from '#cli/given.ts';
import { addListing } from '#cli/things.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { Issuer } from '#contracts/control.ts';

interface PutOptions extends Reach {
  readonly issuer?: string;
  readonly jwksUri?: string;
  readonly jwks?: string;
  readonly audience?: string[];
  readonly claim?: string[];
  readonly spiffe?: string;
}

export function register(program: Command): void {
  const group = addGroup(program, 'issuer', {
    short: 'Issuers of agent identities.',
    summary: 'Issuers of agent identities: put, list, delete.',
    examples: [['./countersign issuer list', 'who is trusted']],
  });
  reachable(
    addVerb(group, 'put <id> [json]', {
      summary: 'Register an issuer, from options, JSON or @file.',
      examples: [
        [
          './countersign issuer put corp --issuer https://idp.example/realms/corp ' +
            '--jwks-uri https://idp.example/realms/corp/protocol/openid-connect/certs --audience countersign',
          'keys are fetched and rotate by themselves',
        ],
        [
          './countersign issuer put ci --issuer https://ci.example --jwks @keys.json --audience countersign --claim agent=azp',
          'keys of a file; the agent stands in claim azp',
        ],
        [
          './countersign issuer put mesh --spiffe acme.example --jwks-uri https://spire.example/keys --audience countersign',
          'workloads of a SPIFFE trust domain, by its bundle',
        ],
      ],
    }),
  )
    .option('--issuer <url>', 'claim iss of its tokens, exactly')
    .option('--spiffe <trust domain>', 'takes JWT-SVIDs of this trust domain instead')
    .option('--jwks-uri <url>', 'where its public keys are')
    .option('--jwks <json>', 'its public keys as JSON or @file')
    .option('--audience <name>', 'claim aud that is accepted; repeat for more', repeated)
    .option(
      '--claim <name=claim>',
      'claim that holds tenant, agent, person, workflow, session, task or purpose; repeat',
      repeated,
    )
    .action(async (id: string, json: string | undefined, options: PutOptions) => {
      const body = json === undefined ? issuerOf(options) : jsonGiven(json);
      const path = `issuers/${encodeURIComponent(id)}`;
      const answer = await adminClient(options).tenantCall('PUT', path, body);
      tellChange(options, answer, `registered issuer ${id}`);
    });
  addListing<Issuer>(group, {
    word: 'issuer',
    many: 'issuers',
    heading: ['iss', 'keys', 'audiences'],
    row: ({ issuer, jwks, jwks_uri: uri, audiences }) => [
      issuer,
      uri ?? `${jwks?.keys.length ?? 0} inline`,
      audiences.join(', '),
    ],
  });
}

/** What is missing is the admin API's to say, with its place. */
function issuerOf({ issuer, spiffe, jwksUri, jwks, audience, claim = [] }: PutOptions): object {
  const claims: Record<string, string> = {};
  for (const pair of claim) {
    const [name = '', held = ''] = pair.split('=', 2);
    claims[name] = held;
  }
  return {
    ...(issuer === undefined ? {} : { issuer }),
    ...(spiffe === undefined
      ? {}
      : { kind: 'jwt-svid', issuer: `spiffe://${spiffe.replace(/^spiffe:\/\//, '')}` }),
    ...(jwksUri === undefined ? {} : { jwks_uri: jwksUri }),
    ...(jwks === undefined ? {} : { jwks: jsonGiven(jwks) }),
    ...(audience === undefined ? {} : { audiences: audience }),
    ...(claim.length === 0 ? {} : { claims }),
  };
}

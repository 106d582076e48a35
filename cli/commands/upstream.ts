// `upstream`: the tool servers that calls go to.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { addListing } from '#cli/things.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { Upstream } from '#contracts/control.ts';

interface PutOptions extends Reach {
  readonly kind?: 'mcp' | 'none';
  readonly credentialFile?: string;
  readonly credentialEnv?: string;
  readonly header?: string;
  readonly scheme?: string;
}

export function register(program: Command): void {
  const group = addGroup(program, 'upstream', {
    short: 'Tool servers behind the gateway.',
    summary: 'Tool servers: put, list, delete.',
    examples: [['./countersign upstream list', 'where calls go']],
  });
  reachable(
    addVerb(group, 'put <name> <url>', {
      summary: 'Register a tool server. Agents reach it as /mcp/NAME, never by themselves.',
      examples: [
        ['./countersign upstream put files http://127.0.0.1:9000/mcp', 'without a credential'],
        [
          './countersign upstream put shop https://shop.example/mcp --credential-file shop.token',
          "of the ingress's folder of this tenant; sent as Authorization: Bearer",
        ],
      ],
    }),
  )
    .option('--kind <kind>', 'mcp (default), or none for decisions only')
    .option('--credential-file <file>', "file in the ingress's folder of this tenant")
    .option('--credential-env <name>', 'environment variable of the ingress instead')
    .option('--header <name>', 'header that carries it (default: Authorization)')
    .option('--scheme <word>', `word before it (default: Bearer; '' = none)`)
    .action(async (name: string, url: string, options: PutOptions) => {
      const path = `upstreams/${encodeURIComponent(name)}`;
      const answer = await adminClient(options).tenantCall('PUT', path, upstreamOf(url, options));
      tellChange(options, answer, `registered upstream ${name}`);
    });
  addListing<Upstream>(group, {
    word: 'upstream',
    many: 'upstreams',
    heading: ['address', 'kind', 'credential'],
    row: ({ url, kind = 'mcp', credential }) => [
      url,
      kind,
      credential?.file ?? credential?.env ?? 'none',
    ],
  });
}

function upstreamOf(url: string, options: PutOptions): Upstream {
  const { kind = 'mcp', credentialFile: file, credentialEnv: env, header, scheme } = options;
  const credential = {
    ...(file === undefined ? {} : { file }),
    ...(env === undefined ? {} : { env }),
    ...(header === undefined ? {} : { header }),
    ...(scheme === undefined ? {} : { scheme }),
  };
  return { url, kind, ...(Object.keys(credential).length === 0 ? {} : { credential }) };
}

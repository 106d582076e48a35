/** A tenant of its own for the suite: everything is allowed by policy, and nothing is switched off. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import { adminClient } from '#cli/client.ts';
import { CHECKOUT } from '#cli/local/places.ts';
import type { RunningSystem } from '#cli/local/system.ts';
import { listServerTools } from '#cli/mcp-tools.ts';
import type { MintAnswer } from '#contracts/admin-bodies.ts';
import type { Tool } from '#contracts/control.ts';
import { PLATFORM } from '#contracts/ids.ts';
import type { JsonObject } from '#contracts/json.ts';
import { definitionHash } from '#contracts/tool-definition.ts';

const TENANT = 'conformance';
const AGENT = 'suite';
const UPSTREAM = 'scenarios';
const ISSUER = 'https://issuer.conformance.example';
const AUDIENCE = 'countersign';
const LIFE_S = 3_600;
const ALLOW_ALL = 'package countersign.policy\n\ndecision := {"verdict": "allow"}\n';

export interface SuiteTenant {
  /** Address of the tool server behind the gateway. */
  readonly url: string;
  /** What an agent sends along. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Registers everything as an operator would. */
export async function fillTenant(system: RunningSystem, upstream: string): Promise<SuiteTenant> {
  const [as = ''] = system.secrets.operatorTokenFiles;
  const admin = adminClient({ adminUrl: system.urls.admin, as, tenant: TENANT });
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'suite-1', alg: 'ES256' };
  await admin.call('PUT', `/v1/tenants/${TENANT}`, {});
  await admin.tenantCall('PUT', 'issuers/idp', {
    issuer: ISSUER,
    jwks: { keys: [jwk] },
    audiences: [AUDIENCE],
  });
  await admin.tenantCall('PUT', `agents/${AGENT}`, { issuer: 'idp' });
  await admin.tenantCall('PUT', `upstreams/${UPSTREAM}`, { url: upstream, kind: 'mcp' });
  await admin.tenantCall('PUT', 'tools', { tools: await toolsOf(upstream) });
  await activate(admin.call, PLATFORM, shippedFloor());
  await activate(admin.call, TENANT, { 'policy.rego': ALLOW_ALL });
  const mint = { agent: AGENT, upstreams: [UPSTREAM], expires_in_s: LIFE_S };
  const { capability } = (await admin.tenantCall('POST', 'capabilities', mint)) as MintAnswer;
  const identity = await new SignJWT({ tenant: TENANT })
    .setProtectedHeader({ alg: 'ES256', kid: 'suite-1' })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject(AGENT)
    .setIssuedAt()
    .setExpirationTime(`${LIFE_S}s`)
    .sign(privateKey);
  return {
    url: new URL(`/mcp/${UPSTREAM}`, system.urls.ingress).href,
    headers: { authorization: `Bearer ${identity}`, 'countersign-capability': capability },
  };
}

async function activate(
  call: ReturnType<typeof adminClient>['call'],
  tenant: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const path = `/v1/tenants/${tenant}/policies`;
  // The answer's shape is contracts/admin-bodies.ts, PolicyAnswer.
  const { digest } = (await call('POST', path, { files })) as { digest: string };
  await call('POST', `${path}/${digest}/activate`);
}

function shippedFloor(): Readonly<Record<string, string>> {
  const folder = join(CHECKOUT, 'policies', 'floor');
  return Object.fromEntries(
    readdirSync(folder).map((file) => [file, readFileSync(join(folder, file), 'utf8')]),
  );
}

/** The tools as the server itself lists them, pinned to these very definitions. */
async function toolsOf(url: string): Promise<Tool[]> {
  const definitions = await listServerTools({ url, headers: {} });
  return definitions.map((definition) => ({
    name: definition.name,
    upstream: UPSTREAM,
    input_schema: definition['inputSchema'] as JsonObject, // required by MCP
    definition_hash: definitionHash(definition),
  }));
}

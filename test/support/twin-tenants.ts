// Tenants of one running system that are alike in everything but their name.

import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import type { Answer, Live } from './live.ts';

/** The person on whose behalf their agents act. */
export const ANN = 'ann@example.com';

/** By facts alone; its words name the version. */
const POLICY = (version: string) => `package countersign.policy
default decision := {"verdict": "block", "reason": "${version}_no"}
decision := {"verdict": "allow", "reason": "${version}"} if {
  input.facts.person.active == true
  input.facts.workflow.open == true
  input.facts.thing.owner == input.principal.on_behalf_of
}
`;
const FACTS = {
  person: 'people/{principal.on_behalf_of}',
  workflow: 'workflows/{principal.workflow}',
  thing: 'things/{call.arguments.id}',
};

export interface Tenant {
  readonly name: string;
  /** A token of this tenant's issuer for the chain of agents, outermost first. */
  readonly identity: (actors?: readonly string[], claims?: object) => Promise<string>;
  readonly capability: string;
  readonly ask: (body?: object, how?: How) => Promise<Answer>;
  readonly change: (method: string, path: string, body?: unknown) => Promise<Answer['body']>;
  readonly activate: (version: string) => Promise<Answer['body']>;
  /** By version. */
  readonly digests: ReadonlyMap<string, string>;
}

/** In place of the tenant's own. */
export interface How {
  readonly identity?: string;
  readonly capability?: string;
}

/** Both tenants use one issuer, the same names of agents, persons and facts: nothing but the tenant tells them apart. */
export async function createTenant(live: Live, name: string): Promise<Tenant> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: name, alg: 'ES256' };
  const change: Tenant['change'] = async (method, path, body) => {
    const answer = await live.admin(method, path, body, name);
    if (answer.status >= 300) throw new Error(`${path} ${JSON.stringify(answer)}`);
    return answer.body;
  };
  await change('PUT', 'issuers/idp', {
    issuer: 'https://shared.example',
    jwks: { keys: [jwk] },
    audiences: ['countersign'],
  });
  await change('PUT', 'agents/lead', { class: 'c' });
  await change('PUT', 'agents/sub', { class: 'c' });
  await change('PUT', 'agents/gate', { enforcement_point: true, grant: { tools: ['read'] } });
  for (const server of ['shop', 'bank']) {
    await change('PUT', `upstreams/${server}`, { url: live.system.urls.upstream, kind: 'mcp' });
  }
  const tools = ['shop', 'bank'].map((upstream) => ({ name: 'pay', upstream }));
  await change('PUT', 'tools', { tools: [{ name: 'read' }, ...tools] });
  await change('PUT', `facts/people/${ANN}`, { active: true });
  await change('PUT', 'facts/workflows/w-1', { open: true });
  await change('PUT', 'facts/things/own', { owner: ANN });
  await change('PUT', `facts/things/only-${name}`, { owner: ANN });
  const digests = new Map<string, string>();
  const activate: Tenant['activate'] = async (version) => {
    const body = { files: { 'policy.rego': POLICY(version) }, facts: FACTS };
    const { digest } = await change('POST', 'policies', body);
    digests.set(version, String(digest));
    return change('POST', `policies/${String(digest)}/activate`);
  };
  await activate('v1');
  const minted = await change('POST', 'capabilities', { agent: 'lead', tools: ['read', 'pay'] });
  const capability = String(minted['capability']);
  const chain = (actors: readonly string[]): object | undefined =>
    actors.length === 0 ? undefined : { sub: actors[0], act: chain(actors.slice(1)) };
  const identity: Tenant['identity'] = (actors = ['lead'], claims = {}) =>
    new SignJWT({ tenant: name, act: chain(actors), workflow: 'w-1', ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: name })
      .setIssuer('https://shared.example')
      .setAudience('countersign')
      .setSubject(ANN)
      .setExpirationTime('1h')
      .sign(privateKey);
  const lead = await identity();
  return {
    name,
    identity,
    capability,
    change,
    activate,
    digests,
    ask: async (body = {}, how = {}) =>
      live.call(
        { tool: 'read', arguments: { id: 'own' }, ...body },
        credentials({ identity: lead, capability, ...how }),
      ),
  };
}

/** How a call shows them. */
export const credentials = ({ identity = '', capability = '' }: How): Record<string, string> => ({
  authorization: `Bearer ${identity}`,
  'countersign-capability': capability,
});

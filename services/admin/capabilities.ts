/**
 * Mints capabilities. The root's signature hash is recorded, and known to workers, before the token is given out: a key
 * holder could sign a root, but not make it known. The token itself is never stored or logged.
 */
import { hash, randomBytes } from 'node:crypto';

import { type MintRequest, mintSeconds } from '#contracts/admin-bodies.ts';
import {
  capabilityId,
  decodeCapability,
  deriveTenantKey,
  mintCapability,
} from '#contracts/capability.ts';
import { type Caveat, readCaveat } from '#contracts/capability/caveats.ts';
import { MalformedCapability } from '#contracts/capability/malformed.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import type { Json } from '#contracts/json.ts';

import { changeBy } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { exists } from './things.ts';

const ISSUER = 'countersign';
/** IntentGate's member for network zones; there is one here. */
const ZONE = 'default';
const ID_BYTES = 12;

export function capabilityHandlers({
  view,
  record,
  capabilityKeys,
}: Deps): Pick<AdminHandlers, 'mintCapability'> {
  const change = changeBy(record);
  const [master] = capabilityKeys;
  if (master === undefined) throw new Error('no capability key');
  return {
    mintCapability: async (asked) => {
      const { tenant, body } = asked;
      const { agent } = body;
      if (!exists(view, CONTROL_KEYS.agent(tenant, agent))) {
        throw new AdminError('agent.unknown', '', { path: '/agent' });
      }
      const issuedAt = Math.floor(Date.now() / 1_000);
      const expiresAt = issuedAt + mintSeconds(body);
      const caveats = caveatsOf(body, expiresAt);
      const jti = capabilityId(issuedAt, randomBytes(ID_BYTES));
      const capability = mintCapability(
        {
          claims: {
            jti,
            issuer: ISSUER,
            tenant,
            zone: ZONE,
            subject: agent,
            issuedAt,
            notBefore: body.not_before ?? null,
          },
          caveats,
        },
        deriveTenantKey(master, tenant),
      );
      const changed = await change(asked, {
        kind: 'capability',
        action: 'mint',
        target: jti,
        value: {
          minted: {
            signature_hash: signatureHash(capability),
            caveats: caveats.length,
            agent,
            expires_at: expiresAt,
          },
          terms: body,
        },
      });
      const expires = new Date(expiresAt * 1_000).toISOString();
      return { ...changed, id: jti, capability, agent, expires_at: expires };
    },
  };
}

function signatureHash(capability: string): string {
  const decoded = decodeCapability(capability);
  if (!decoded.ok) throw new Error('a capability made here cannot be read');
  return hash('sha256', decoded.capability.signature, 'hex');
}

/**
 * The terms as caveats. The lock to the agent stands first, as v4 wants it, and the expiry before whatever is counted.
 * @throws AdminError capability.terms with the place of the fault
 */
function caveatsOf(terms: MintRequest, expiresAt: number): Caveat[] {
  const stated: [path: string, caveat: unknown][] = [
    ['/agent', { t: 'agent_lock', agent: terms.agent }],
    ['/expires_in_s', { t: 'exp', exp: expiresAt }],
  ];
  const state = (path: string, value: unknown, caveat: object) => {
    if (value !== undefined) stated.push([path, caveat]);
  };
  state('/tools', terms.tools, { t: 'tool_allow', tools: terms.tools });
  state('/forbidden_tools', terms.forbidden_tools, {
    t: 'tool_deny',
    tools: terms.forbidden_tools,
  });
  state('/upstreams', terms.upstreams, { t: 'upstream', upstreams: terms.upstreams });
  state('/task', terms.task, { t: 'task', task: terms.task });
  state('/actor', terms.actor, { t: 'actor', agent: terms.actor });
  state('/audience', terms.audience, { t: 'audience', audience: terms.audience });
  for (const [at, condition] of (terms.arguments ?? []).entries()) {
    stated.push([`/arguments/${at}`, { t: 'args', ...condition }]);
  }
  for (const [at, amount] of (terms.amounts ?? []).entries()) {
    stated.push([`/amounts/${at}`, { t: 'amount', ...amount }]);
  }
  state('/calls', terms.calls, { t: 'max_calls', max_calls: terms.calls });
  return stated.map(([path, caveat]) => {
    try {
      return readCaveat(caveat as Json);
    } catch (error) {
      if (!(error instanceof MalformedCapability)) throw error;
      throw new AdminError('capability.terms', `Not possible: ${error.detail}.`, { path });
    }
  });
}

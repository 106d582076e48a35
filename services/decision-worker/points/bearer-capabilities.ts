/**
 * A capability in the place of an identity, on the one route that sends it so and where the tenant switched that on: its
 * holder is the agent that it was issued to, for nobody. Whether the capability covers the call is judged after that.
 */
import { hash } from 'node:crypto';

import { expiresAt } from '#contracts/capability/judge.ts';
import type { Compat } from '#contracts/compat.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import { NO_KEYS } from '#contracts/sender.ts';
import type { ControlView } from '#host/control-view.ts';

import type { CapabilityPoints, KnownCapability } from '../checks/capability.ts';
import type { IdentityPoints, VerifiedIdentity } from '../checks/identity.ts';

/** Id of the issuer in records. An agent that is bound to an issuer is none of its. */
const ISSUER = 'capability';

/** Whether a tenant takes capabilities as identities. */
export const bearerTenants =
  (view: ControlView) =>
  (tenant: TenantId): boolean =>
    view.get<Compat>(CONTROL_KEYS.compat(tenant))?.value?.route === true;

/** `verify` for identities of issuers, and for capabilities; these have no dot in them. */
export function orCapability(
  verify: IdentityPoints['verify'],
  points: {
    readonly open: CapabilityPoints['open'];
    readonly accepts: (tenant: TenantId) => boolean;
  },
): IdentityPoints['verify'] {
  // The same identity for the same opened capability: principals are kept by it.
  const known = new WeakMap<KnownCapability, VerifiedIdentity>();
  return async (token, tenant, at) => {
    if (token.includes('.')) return verify(token, tenant, at);
    if (!points.accepts(tenant)) return { fault: 'identity.unknown_issuer', detail: ISSUER };
    const opened = await points.open(tenant, token);
    if ('fault' in opened) return { fault: 'identity.signature', detail: opened.fault };
    const identity = known.get(opened) ?? identityOf(opened, token);
    known.set(opened, identity);
    return identity;
  };
}

function identityOf(capability: KnownCapability, token: string): VerifiedIdentity {
  const until = expiresAt(capability);
  return {
    issuer: ISSUER,
    token: hash('sha256', token, 'hex'),
    expiresAt: until === null ? Number.MAX_SAFE_INTEGER : until * 1_000,
    claims: {
      agent: capability.subject,
      person: '',
      workflow: '',
      session: '',
      task: '',
      purpose: '',
      actors: [capability.subject],
      act: '',
    },
    bound: NO_KEYS,
  };
}

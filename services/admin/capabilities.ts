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
import type { Caveat } from '#contracts/capability/caveats.ts';
import { caveatsOf, ImpossibleTerms } from '#contracts/capability/terms.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';

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
      // Its expiry would be wrong by as much.
      if (view.clockFault() !== '') throw new AdminError('service.clock');
      const issuedAt = Math.floor(Date.now() / 1_000);
      const expiresAt = issuedAt + mintSeconds(body);
      const caveats = termsAsCaveats(body, expiresAt);
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

/** @throws AdminError capability.terms with the place of the fault */
function termsAsCaveats(body: MintRequest, expiresAt: number): Caveat[] {
  // The start is a claim of the root, not a caveat.
  const { not_before: _, expires_in_s: __, ...terms } = body;
  try {
    return caveatsOf({ ...terms, expires_at: expiresAt });
  } catch (error) {
    if (!(error instanceof ImpossibleTerms)) throw error;
    const path = error.path === '/expires_at' ? '/expires_in_s' : error.path;
    throw new AdminError('capability.terms', `Not possible: ${error.message}.`, { path });
  }
}

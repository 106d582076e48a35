/** Issuers whose tokens prove who an agent is: what they may be, and their registration. */
import { CONTROL_KEYS, decodeKey, type Issuer } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import { isTrustDomain } from '#contracts/spiffe.ts';
import type { ControlView } from '#host/control-view.ts';

import { changeBy } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { checkKeys } from './issuer-keys.ts';
import { mustExist, thing, things } from './things.ts';
import { checkUrl } from './urls.ts';

type Issuers = Pick<AdminHandlers, 'listIssuers' | 'getIssuer' | 'putIssuer' | 'deleteIssuer'>;

export function issuerHandlers({ view, record }: Deps): Issuers {
  const change = changeBy(record);
  return {
    listIssuers: async ({ tenant }) =>
      things<Issuer>(view, CONTROL_KEYS.issuer(tenant, ''), decodeKey),
    getIssuer: async ({ tenant, path: { id = '' } }) =>
      thing<Issuer>(view, CONTROL_KEYS.issuer(tenant, id), id),
    putIssuer: async (asked) => {
      const { id = '' } = asked.path;
      checkIssuer(view, asked.tenant, id, asked.body);
      return change(asked, { kind: 'issuer', action: 'put', target: id, value: asked.body });
    },
    deleteIssuer: async (asked) => {
      const { id = '' } = asked.path;
      mustExist(view, CONTROL_KEYS.issuer(asked.tenant, id));
      return change(asked, { kind: 'issuer', action: 'delete', target: id, value: null });
    },
  };
}

/** @throws AdminError */
function checkIssuer(view: ControlView, tenant: TenantId, id: string, issuer: Issuer): void {
  if ((issuer.jwks === undefined) === (issuer.jwks_uri === undefined)) {
    throw new AdminError('request.schema', 'An issuer has either "jwks" or "jwks_uri".');
  }
  if (issuer.kind === 'jwt-svid' && !isTrustDomain(issuer.issuer)) {
    throw new AdminError(
      'request.schema',
      'Of a "jwt-svid" issuer, "issuer" is a trust domain such as spiffe://acme.example.',
      { path: '/issuer' },
    );
  }
  if (issuer.jwks_uri !== undefined) checkUrl(issuer.jwks_uri, 'secure', '/jwks_uri');
  checkKeys(issuer);
  const twin = things<Issuer>(view, CONTROL_KEYS.issuer(tenant, ''), decodeKey).items.find(
    (other) => other.id !== id && other.value.issuer === issuer.issuer,
  );
  if (twin !== undefined) {
    throw new AdminError('issuer.taken', `"${twin.id}" is registered for the same issuer.`, {
      path: '/issuer',
    });
  }
  refuseForeignTokens(view, tenant, issuer);
}

/**
 * Two tenants may share an issuer; what the tenant claim says must tell them apart. Else one tenant could claim the
 * other's tokens, and the ingress, which cannot choose, would refuse them all. Names nobody: tenants do not see each other.
 */
function refuseForeignTokens(view: ControlView, tenant: TenantId, issuer: Issuer): void {
  const claimOf = ({ kind, claims }: Issuer) =>
    claims?.tenant ?? (kind === 'jwt-svid' ? '' : 'tenant');
  const meaning = (one: Issuer, owner: string) => [claimOf(one), one.tenant_value ?? owner];
  const [claim, wanted] = meaning(issuer, tenant);
  const taken = view.keys('issuer.').some((key) => {
    const owner = key.split('.')[1] ?? '';
    const value = view.get<Issuer>(key)?.value ?? null;
    if (owner === tenant || value === null || value.issuer !== issuer.issuer) return false;
    const [theirs, held] = meaning(value, owner);
    // Without a claim all tokens are one tenant's.
    return theirs === '' || claim === '' || (theirs === claim && held === wanted);
  });
  if (taken) {
    throw new AdminError(
      'issuer.taken',
      'This tenant claim of this issuer is registered already.',
      {
        path: '/tenant_value',
      },
    );
  }
}

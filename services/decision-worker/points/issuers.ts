/**
 * Verifies agent identities against the keys of registered issuers. A verified token is kept by the digest of its
 * bytes until it expires or its issuer's registration changes; expiry is judged at every use.
 */
import { hash } from 'node:crypto';

import {
  errors,
  type JWTHeaderParameters,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyGetKey,
} from 'jose';

import { type ControlEntry, IDENTITY_ALGORITHMS, type Issuer } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { Reason } from '#contracts/reasons.ts';
import { trustDomainOf } from '#contracts/spiffe.ts';
import type { ControlView } from '#host/control-view.ts';

import { readClaims } from '../checks/claims.ts';
import type { IdentityPoints, VerifiedIdentity } from '../checks/identity.ts';
import { boundKeys } from '../checks/sender.ts';
import { keysOf, REMOTE_KEPT_MS } from './issuer-keys.ts';

/** What JWT-SVIDs may be signed with (JWT-SVID, section 2.1), and be typed as (2.3). */
const SVID_ALGORITHMS = IDENTITY_ALGORITHMS.filter((name) => !name.startsWith('Ed'));
const SVID_TYPES: readonly (string | undefined)[] = [undefined, 'JWT', 'JOSE'];
/** Tolerated difference between the issuer's clock and ours. */
const SKEW_S = 5;
const VERIFIED_MAX = 20_000;

interface Registered {
  readonly entry: ControlEntry;
  readonly id: string;
  readonly tenant: string;
  readonly issuer: Issuer;
  readonly keys: JWTVerifyGetKey;
}

interface Verified {
  readonly from: Registered;
  readonly identity: VerifiedIdentity;
  readonly notBefore: number;
  readonly until: number;
}

interface Fault {
  readonly fault: Reason;
  readonly detail: string;
}

/** `verify` over the issuers of the control view. */
export function identityVerifier(view: ControlView): IdentityPoints['verify'] {
  const byName = new Map<string, Registered[]>();
  view.onChange((key, entry) => {
    if (!key.startsWith('issuer.')) return;
    const [, tenant = '', id = ''] = key.split('.');
    for (const [name, all] of byName) {
      byName.set(
        name,
        all.filter((one) => one.tenant !== tenant || one.id !== id),
      );
    }
    if (entry.value === null) return;
    const issuer = entry.value as Issuer;
    const keys = keysOf(issuer);
    const list = byName.get(issuer.issuer) ?? [];
    byName.set(issuer.issuer, [...list, { entry, id, tenant, issuer, keys }]);
  });
  const verified = new Map<string, Verified>();

  return async (token, tenant, at) => {
    const digest = hash('sha256', `${tenant}\n${token}`, 'hex');
    const known = verified.get(digest);
    const names = known === undefined ? peekIssuers(token) : [known.from.issuer.issuer];
    if (names === undefined) return { fault: 'identity.malformed', detail: 'not a JWT' };
    let from: Registered | undefined;
    for (const name of names) from ??= byName.get(name)?.find((one) => one.tenant === tenant);
    if (from === undefined) {
      return { fault: 'identity.unknown_issuer', detail: names.join(' ').slice(0, 200) };
    }
    if (known !== undefined && known.from === from && at < known.until) return timely(known, at);
    const fresh = await verifyToken(token, { from, digest, at, tenant });
    if ('fault' in fresh) return fresh;
    if (verified.size >= VERIFIED_MAX) verified.clear();
    verified.set(digest, fresh);
    return fresh.identity;
  };
}

/** Expiry and start hold at every use, not only when the signature was checked. */
function timely({ identity, notBefore }: Verified, at: number): VerifiedIdentity | Fault {
  if (at >= identity.expiresAt + SKEW_S * 1_000) return { fault: 'identity.expired', detail: '' };
  if (at < notBefore - SKEW_S * 1_000) return { fault: 'identity.not_yet_valid', detail: '' };
  return identity;
}

/** untrusted: what a token may be registered under, before any signature was checked: its issuer, its trust domain. */
function peekIssuers(token: string): string[] | undefined {
  try {
    const payload: unknown = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'),
    );
    const { iss, sub } = (payload ?? {}) as { iss?: unknown; sub?: unknown };
    const domain = typeof sub === 'string' ? trustDomainOf(sub) : undefined;
    return [iss, domain].filter((name) => typeof name === 'string');
  } catch {
    return undefined;
  }
}

async function verifyToken(
  token: string,
  how: {
    readonly from: Registered;
    readonly digest: string;
    readonly at: number;
    readonly tenant: TenantId;
  },
): Promise<Verified | Fault> {
  const { from, digest, at, tenant } = how;
  const { issuer } = from;
  const svid = issuer.kind === 'jwt-svid';
  const accepted = issuer.algorithms ?? (svid ? SVID_ALGORITHMS : IDENTITY_ALGORITHMS);
  let payload: JWTPayload;
  let header: JWTHeaderParameters;
  try {
    ({ payload, protectedHeader: header } = await jwtVerify(token, from.keys, {
      // A JWT-SVID is proved by the bundle of its trust domain; `iss` may be absent and says nothing.
      ...(svid ? {} : { issuer: issuer.issuer }),
      audience: [...issuer.audiences],
      algorithms: accepted.filter((name) => IDENTITY_ALGORITHMS.includes(name)),
      clockTolerance: SKEW_S,
      currentDate: new Date(at),
      requiredClaims: ['exp'],
    }));
  } catch (error) {
    return { fault: faultOf(error), detail: error instanceof Error ? error.message : '' };
  }
  // A token of the same key for another use is none.
  if (svid && !SVID_TYPES.includes(header.typ)) {
    return { fault: 'identity.malformed', detail: 'its type is not that of a JWT-SVID' };
  }
  if (svid && trustDomainOf(payload.sub ?? '') !== issuer.issuer) {
    return { fault: 'identity.claims', detail: 'sub is not of the registered trust domain' };
  }
  // A trust domain belongs to one tenant unless a claim was registered that says whose it is.
  const tenantClaim = issuer.claims?.tenant ?? (svid ? '' : 'tenant');
  if (tenantClaim !== '' && payload[tenantClaim] !== (issuer.tenant_value ?? tenant)) {
    return { fault: 'identity.claims', detail: 'the tenant claim names another tenant' };
  }
  const claims = readClaims(payload, issuer.claims);
  if (typeof claims === 'string') return { fault: 'identity.claims', detail: claims };
  const bound = boundKeys(payload['cnf']);
  if (typeof bound === 'string') return { fault: 'identity.claims', detail: bound };
  // A time beyond I-JSON's integers could not stand in a record.
  const expiresAt = Math.min(Math.floor((payload.exp ?? 0) * 1_000), Number.MAX_SAFE_INTEGER);
  return {
    from,
    identity: { issuer: from.id, token: digest, expiresAt, claims, bound },
    notBefore: (payload.nbf ?? 0) * 1_000,
    until: issuer.jwks === undefined ? at + REMOTE_KEPT_MS : Number.POSITIVE_INFINITY,
  };
}

function faultOf(error: unknown): Reason {
  if (error instanceof errors.JWTExpired) return 'identity.expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'aud') return 'identity.audience';
    return error.claim === 'nbf' ? 'identity.not_yet_valid' : 'identity.claims';
  }
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported)
    return 'identity.algorithm';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'identity.signature';
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
    return 'identity.signature';
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid)
    return 'identity.malformed';
  // Time-outs, refused connections, a key set that is none: the keys cannot be had.
  return 'identity.keys_unavailable';
}

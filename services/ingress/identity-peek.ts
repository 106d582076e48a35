/**
 * Whose tenant a call belongs to, read from an identity that nobody has verified yet: only good for choosing the
 * subject. The worker verifies the signature and checks the tenant again.
 */
import { decodeCapability } from '#contracts/capability.ts';
import { expiresAt } from '#contracts/capability/judge.ts';
import type { Compat } from '#contracts/compat.ts';
import { CONTROL_KEYS, type Issuer } from '#contracts/control.ts';
import { parseTenantId, type TenantId } from '#contracts/ids.ts';
import { type JsonObject, MalformedJson, parseStrict } from '#contracts/json.ts';
import type { Reason } from '#contracts/reasons.ts';
import { trustDomainOf } from '#contracts/spiffe.ts';
import type { ControlView } from '#host/control-view.ts';

/** What the unverified claims say. */
export interface Peeked {
  readonly tenant: TenantId;
  /** Milliseconds UTC of claim `exp`; 0 = the token has none. */
  readonly expiresAt: number;
}

/** One registration of an issuer: whose tokens with this value of this claim are this tenant's. */
interface Registration {
  readonly key: string;
  readonly tenant: TenantId;
  /** Empty = all tokens: a trust domain that belongs to one tenant. */
  readonly claim: string;
  readonly value: string;
}

/** Registered issuers by their `iss` or trust domain, kept current by the control view. */
export interface Issuers {
  readonly of: (iss: string) => readonly Registration[];
  /** Tenants that take capabilities as identities (compat.ts), by the tenant that these name. */
  readonly byCapability: (named: string) => readonly TenantId[];
  /** Grows with each change: what was peeked at before has to be looked at again. */
  readonly generation: () => number;
}

const PAYLOAD_LIMITS = { bytes: 16 * 1024, depth: 16, members: 1_024 };
const JWS_COMPACT = /^[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+$/;
const DEFAULT_CLAIM = 'tenant';
const ISSUER_PREFIX = CONTROL_KEYS.issuer('', '').slice(0, -1);

/** Follows the issuers of all tenants. */
export function watchIssuers(view: Pick<ControlView, 'onChange'>): Issuers {
  const byName = new Map<string, Registration[]>();
  const nameOf = new Map<string, string>();
  let generation = 0;
  const byCapability = watchCompat(view, () => generation++);
  view.onChange((key, entry) => {
    if (!key.startsWith(ISSUER_PREFIX)) return;
    generation++;
    const before = nameOf.get(key);
    if (before !== undefined) {
      byName.set(
        before,
        (byName.get(before) ?? []).filter((one) => one.key !== key),
      );
    }
    nameOf.delete(key);
    const tenant = parseTenantId(key.split('.')[1] ?? '');
    // Written by the projector after a check against the schema of this key.
    const issuer = entry.value as Issuer | null;
    if (issuer === null || tenant === undefined) return;
    const claim = issuer.claims?.tenant ?? (issuer.kind === 'jwt-svid' ? '' : DEFAULT_CLAIM);
    const registration = { key, tenant, claim, value: issuer.tenant_value ?? tenant };
    nameOf.set(key, issuer.issuer);
    byName.set(issuer.issuer, [...(byName.get(issuer.issuer) ?? []), registration]);
  });
  return { of: (iss) => byName.get(iss) ?? [], byCapability, generation: () => generation };
}

const COMPAT_PREFIX = CONTROL_KEYS.compat('');

function watchCompat(
  view: Pick<ControlView, 'onChange'>,
  changed: () => void,
): Issuers['byCapability'] {
  const names = new Map<TenantId, ReadonlySet<string>>();
  view.onChange((key, entry) => {
    if (!key.startsWith(COMPAT_PREFIX)) return;
    changed();
    const tenant = parseTenantId(key.slice(COMPAT_PREFIX.length));
    if (tenant === undefined) return;
    // Checked against its schema before it was projected.
    const compat = entry.value as Compat | null;
    if (compat?.route !== true) names.delete(tenant);
    else names.set(tenant, new Set([tenant, compat.token_tenant ?? tenant]));
  });
  return (named) => [...names].flatMap(([tenant, own]) => (own.has(named) ? [tenant] : []));
}

/**
 * The tenant that takes this capability as an identity, or why there is none: identity.malformed, unknown_issuer,
 * claims. Untrusted: the whole token.
 */
export function peekCapability(token: string, issuers: Issuers): Peeked | Reason {
  const decoded = decodeCapability(token);
  if (!decoded.ok) return 'identity.malformed';
  const { claims, caveats } = decoded.capability;
  const [tenant, another] = issuers.byCapability(claims.tenant);
  if (tenant === undefined) return 'identity.unknown_issuer';
  // Two tenants that claim the same tokens: it is not ours to choose.
  if (another !== undefined) return 'identity.claims';
  return { tenant, expiresAt: (expiresAt({ caveats }) ?? 0) * 1_000 };
}

/**
 * The tenant that the claims name, or why there is none: identity.missing, malformed, unknown_issuer, claims.
 * Untrusted: the whole token.
 */
export function peekIdentity(token: string, issuers: Issuers): Peeked | Reason {
  if (token === '') return 'identity.missing';
  const claims = claimsOf(token);
  if (claims === undefined) return 'identity.malformed';
  const registrations = registrationsOf(claims, issuers);
  if (registrations.length === 0) return 'identity.unknown_issuer';
  const tenants = new Set<TenantId>();
  for (const { claim, value, tenant } of registrations) {
    if (claim === '' || own(claims, claim) === value) tenants.add(tenant);
  }
  const [tenant, another] = tenants;
  // Two tenants that claim the same tokens: it is not ours to choose.
  if (tenant === undefined || another !== undefined) return 'identity.claims';
  const exp = own(claims, 'exp');
  return { tenant, expiresAt: typeof exp === 'number' ? exp * 1_000 : 0 };
}

/** By `iss`; a JWT-SVID without one that is registered by the trust domain of `sub`. */
function registrationsOf(claims: JsonObject, issuers: Issuers): readonly Registration[] {
  const iss = own(claims, 'iss');
  const found = typeof iss === 'string' ? issuers.of(iss) : [];
  if (found.length > 0) return found;
  const sub = own(claims, 'sub');
  const domain = typeof sub === 'string' ? trustDomainOf(sub) : undefined;
  return domain === undefined ? [] : issuers.of(domain);
}

function claimsOf(token: string): JsonObject | undefined {
  const payload = JWS_COMPACT.exec(token)?.[1];
  if (payload === undefined) return undefined;
  try {
    const claims = parseStrict(Buffer.from(payload, 'base64url'), PAYLOAD_LIMITS);
    return typeof claims === 'object' && claims !== null && !Array.isArray(claims)
      ? claims
      : undefined;
  } catch (error) {
    if (error instanceof MalformedJson) return undefined;
    throw error;
  }
}

const own = (claims: JsonObject, name: string): unknown =>
  Object.hasOwn(claims, name) ? claims[name] : undefined;

/**
 * Who operates the platform: persons with a token whose SHA-256 stands in the control view, so this works without any
 * database. A token is 192 random bits or more; only its hash is kept anywhere.
 */
import { hash, timingSafeEqual } from 'node:crypto';

import type { Operator, Role } from '#contracts/control.ts';
import { PLATFORM, type TenantId } from '#contracts/ids.ts';

import { AdminError } from './errors.ts';
import { wrongTries } from './wrong-tries.ts';

const TOKEN_CHARS_MAX = 512;

/** A higher rank includes the lower ones; approver and operator do not include each other. */
const INCLUDES: Readonly<Record<Role, readonly Role[]>> = {
  viewer: ['viewer'],
  approver: ['viewer', 'approver'],
  operator: ['viewer', 'operator'],
  admin: ['viewer', 'approver', 'operator', 'admin'],
};

export interface Authenticate {
  /** The operator whose token this is. Untrusted: header and address. @throws AdminError operator.* */
  (authorization: string | undefined, address: string): Operator;
}

/** Checks bearer tokens. Wrong tokens of one address are limited; right ones always pass. */
export function authenticator(
  operators: ReadonlyMap<string, Operator>,
  now: () => number = Date.now,
): Authenticate {
  const wrong = wrongTries(now);
  return (authorization = '', address) => {
    const token = /^Bearer ([^\s]+)$/.exec(authorization)?.[1];
    if (token === undefined) throw new AdminError('operator.missing');
    const operator = token.length <= TOKEN_CHARS_MAX ? ownerOf(token, operators) : undefined;
    if (operator !== undefined) return operator;
    throw new AdminError(wrong(address) ? 'operator.too_many_attempts' : 'operator.unknown');
  };
}

/** No token has this hash: it is no hash. */
const NO_TOKEN = `sha256:${'-'.repeat(64)}`;

/** Every operator is compared, so the time says nothing about which hash came close. */
function ownerOf(token: string, operators: ReadonlyMap<string, Operator>): Operator | undefined {
  const digest = Buffer.from(`sha256:${hash('sha256', token, 'hex')}`);
  let owner: Operator | undefined;
  for (const operator of operators.values()) {
    const { token_hash: kept = NO_TOKEN, disabled } = operator;
    if (timingSafeEqual(Buffer.from(kept), digest) && disabled !== true) owner = operator;
  }
  return owner;
}

/** True when the operator's roles include this one. */
export const hasRole = ({ roles }: Operator, role: Role): boolean =>
  roles.some((own) => INCLUDES[own].includes(role));

/** True when the operator works for this tenant; without a list, for all. */
export const seesTenant = ({ tenants = [] }: Operator, tenant: TenantId): boolean =>
  tenants.length === 0 || tenants.includes(tenant);

/**
 * Tenant undefined = an operation on no tenant. What concerns the platform itself, and every change of it, takes an
 * operator of all tenants; a change of it also takes `platformRole`, by default an admin. @throws AdminError operator.role, operator.tenant
 */
export function authorize(
  operator: Operator,
  needed: {
    readonly role: Role;
    readonly tenant: TenantId | undefined;
    readonly platformRole?: Role | undefined;
  },
): void {
  const { tenant } = needed;
  const platform = tenant === PLATFORM || tenant === undefined;
  const role =
    platform && needed.role !== 'viewer' ? (needed.platformRole ?? 'admin') : needed.role;
  if (!hasRole(operator, role)) throw new AdminError('operator.role');
  const everywhere = (operator.tenants ?? []).length === 0;
  const own =
    tenant === undefined ? role === 'viewer' : tenant !== PLATFORM && seesTenant(operator, tenant);
  if (!everywhere && !own) throw new AdminError('operator.tenant');
}

/** IntentGate's tokens and route: switched on and off for a tenant. An imported key is sealed before it is recorded. */
import { randomBytes } from 'node:crypto';

import {
  type Compat,
  type CompatRequest,
  importedKey,
  IMPORTED_KEY_BYTES_MIN,
  keyIdOf,
  sealKey,
} from '#contracts/compat.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { PLATFORM, type TenantId } from '#contracts/ids.ts';
import type { ControlView } from '#host/control-view.ts';

import { changeBy } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { mustExist, thing } from './things.ts';

const NONCE_BYTES = 12;

export function compatHandlers({
  view,
  record,
  capabilityKeys: [master],
}: Deps): Pick<AdminHandlers, 'getCompat' | 'putCompat' | 'deleteCompat'> {
  const change = changeBy(record);
  if (master === undefined) throw new Error('no capability key');
  return {
    getCompat: async ({ tenant }) => {
      const { value, ...item } = thing<Compat>(view, CONTROL_KEYS.compat(tenant), tenant);
      const { sealed_key: _, ...shown } = value;
      return { ...item, value: shown };
    },
    putCompat: async (asked) => {
      if (asked.tenant === PLATFORM) throw new AdminError('tenant.name', 'Tokens name a tenant.');
      refuseForeignTokens(view, asked.tenant, asked.body);
      const value = sealed(master, asked.tenant, asked.body);
      return change(asked, { kind: 'compat', action: 'put', target: '', value });
    },
    deleteCompat: async (asked) => {
      mustExist(view, CONTROL_KEYS.compat(asked.tenant));
      return change(asked, { kind: 'compat', action: 'delete', target: '', value: null });
    },
  };
}

/** @throws AdminError compat.key */
function sealed(
  master: Uint8Array,
  tenant: TenantId,
  { key: text, ...rest }: CompatRequest,
): Compat {
  if (text === undefined) return rest;
  const key = importedKey(text);
  if (key === undefined) {
    const detail = `A key is base64 of at least ${IMPORTED_KEY_BYTES_MIN} bytes.`;
    throw new AdminError('compat.key', detail, { path: '/key' });
  }
  const sealedKey = sealKey(master, tenant, { key, nonce: randomBytes(NONCE_BYTES) });
  return { ...rest, key_id: keyIdOf(key), sealed_key: sealedKey };
}

/** What a token names must lead to one tenant. Names nobody: tenants do not see each other. @throws AdminError */
function refuseForeignTokens(
  view: ControlView,
  tenant: TenantId,
  { token_tenant: wanted = tenant }: CompatRequest,
): void {
  const prefix = CONTROL_KEYS.compat('');
  const taken = view.keys(prefix).some((key) => {
    const owner = key.slice(prefix.length);
    const value = view.get<Compat>(key)?.value ?? null;
    return owner !== tenant && value !== null && (value.token_tenant ?? owner) === wanted;
  });
  const foreign = wanted !== tenant && view.get(CONTROL_KEYS.tenant(wanted)) !== undefined;
  if (!taken && !foreign) return;
  throw new AdminError('compat.taken', '', { path: '/token_tenant' });
}

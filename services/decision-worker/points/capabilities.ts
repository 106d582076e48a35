/**
 * Opens capabilities: signatures under the tenant's keys, and the root known as minted here; or under a key that the
 * tenant imported.
 */
import { hash } from 'node:crypto';

import {
  type CapabilityRefusal,
  deriveTenantKey,
  verifyCapability,
  type VerifiedCapability,
} from '#contracts/capability.ts';
import { mintedKey, type MintedRoot } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { Reason } from '#contracts/reasons.ts';
import type { KV } from '#host/nats.ts';

import { type CapabilityPoints, heldOf, type KnownCapability } from '../checks/capability.ts';
import type { ImportedKey, ImportedKeyOf } from './imported-keys.ts';

const KNOWN_MAX = 20_000;
/** Of all kept tokens; opened, a character takes 1 to 9 bytes. A holder can narrow its own without end. */
const KNOWN_CHARS_MAX = 16 * 1024 * 1024;

/** A capability that was opened; `by` undefined = under a key of ours. */
interface Opened {
  readonly capability: KnownCapability;
  readonly by: ImportedKey | undefined;
}

type Fault = { readonly fault: Reason; readonly detail: string };

/**
 * `open` over the master keys (newest first) and bucket `keyed`. Opened capabilities are kept by the digest of their
 * bytes; what failed is never kept, so a root becomes known the moment it is minted. What an imported key opened counts
 * for as long as that key does.
 */
export function capabilityOpener(
  masters: readonly Uint8Array[],
  keyed: KV,
  imported: ImportedKeyOf,
): CapabilityPoints['open'] {
  const keys = new Map<string, Uint8Array[]>();
  const keysOf = (tenant: TenantId): Uint8Array[] => {
    const derived = keys.get(tenant) ?? masters.map((master) => deriveTenantKey(master, tenant));
    keys.set(tenant, derived);
    return derived;
  };
  const known = new Map<string, Opened>();
  let chars = 0;
  const keep = (digest: string, opened: Opened, length: number): void => {
    if (known.size >= KNOWN_MAX || chars + length > KNOWN_CHARS_MAX) {
      known.clear();
      chars = 0;
    }
    if (!known.has(digest)) chars += length; // two calls may have opened it at once
    known.set(digest, opened);
  };

  const mintedHere = async (tenant: TenantId, capability: VerifiedCapability) => {
    const entry = await keyed.get(mintedKey(tenant, capability.rootJti));
    // Written by the projector from an event whose schema was checked.
    const minted = entry?.operation === 'PUT' ? entry.json<MintedRoot>() : undefined;
    // The root's signature as minted, with the caveats it was minted with: a key holder cannot leave one out.
    return minted !== undefined && capability.links[minted.caveats] === minted.signature_hash;
  };

  const openOne = async (tenant: TenantId, token: string): Promise<Opened | Fault> => {
    const verified = verifyCapability(token, keysOf(tenant));
    if (!verified.ok)
      return openImported(tenant, { token, refused: verified, by: imported(tenant) });
    const { capability } = verified;
    if (await mintedHere(tenant, capability)) return opened(capability, undefined);
    return { fault: 'capability.unknown_root', detail: capability.rootJti };
  };

  return async (tenant, token) => {
    const digest = hash('sha256', `${tenant}\n${token}`, 'hex');
    const before = known.get(digest);
    if (before !== undefined && (before.by === undefined || before.by === imported(tenant))) {
      return before.capability;
    }
    const now = await openOne(tenant, token);
    if ('fault' in now) return now;
    keep(digest, now, token.length);
    return now.capability;
  };
}

interface Foreign {
  readonly token: string;
  /** Why it is none of ours. */
  readonly refused: CapabilityRefusal;
  readonly by: ImportedKey | undefined;
}

/** Nobody here knows what was minted elsewhere: the signature alone counts, and that the token names this tenant. */
function openImported(tenant: TenantId, { token, refused, by }: Foreign): Opened | Fault {
  const { code, detail } = refused;
  if (by === undefined || code !== 'capability.signature') return { fault: code, detail };
  const verified = verifyCapability(token, [by.key]);
  if (!verified.ok) return { fault: code, detail };
  const { capability } = verified;
  if (capability.tenant !== by.tokenTenant) {
    return { fault: 'capability.wrong_tenant', detail: `for ${capability.tenant}` };
  }
  return opened({ ...capability, tenant }, by);
}

const opened = (capability: VerifiedCapability, by: Opened['by']): Opened => ({
  capability: { ...capability, held: heldOf(capability, by === undefined ? 'token' : 'compat') },
  by,
});

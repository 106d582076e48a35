/** Opens capabilities: signatures under the tenant's keys, and the root known as minted here. */
import { hash } from 'node:crypto';

import { deriveTenantKey, verifyCapability } from '#contracts/capability.ts';
import { mintedKey, type MintedRoot } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { KV } from '#host/nats.ts';

import { type CapabilityPoints, heldOf, type KnownCapability } from '../checks/capability.ts';

const KNOWN_MAX = 20_000;
/** Of all kept tokens; opened, a character takes 1 to 9 bytes. A holder can narrow its own without end. */
const KNOWN_CHARS_MAX = 16 * 1024 * 1024;

/**
 * `open` over the master keys (newest first) and bucket `keyed`. Opened capabilities are kept by the digest of their
 * bytes; what failed is never kept, so a root becomes known the moment it is minted.
 */
export function capabilityOpener(
  masters: readonly Uint8Array[],
  keyed: KV,
): CapabilityPoints['open'] {
  const keys = new Map<string, Uint8Array[]>();
  const keysOf = (tenant: TenantId): Uint8Array[] => {
    const derived = keys.get(tenant) ?? masters.map((master) => deriveTenantKey(master, tenant));
    keys.set(tenant, derived);
    return derived;
  };
  const known = new Map<string, KnownCapability>();
  let chars = 0;
  const keep = (digest: string, opened: KnownCapability, length: number): void => {
    if (known.size >= KNOWN_MAX || chars + length > KNOWN_CHARS_MAX) {
      known.clear();
      chars = 0;
    }
    if (!known.has(digest)) chars += length; // two calls may have opened it at once
    known.set(digest, opened);
  };

  return async (tenant, token) => {
    const digest = hash('sha256', `${tenant}\n${token}`, 'hex');
    const before = known.get(digest);
    if (before !== undefined) return before;
    const verified = verifyCapability(token, keysOf(tenant));
    if (!verified.ok) return { fault: verified.code, detail: verified.detail };
    const { capability } = verified;
    const entry = await keyed.get(mintedKey(tenant, capability.rootJti));
    // Written by the projector from an event whose schema was checked.
    const minted = entry?.operation === 'PUT' ? entry.json<MintedRoot>() : undefined;
    // The root's signature as minted, with the caveats it was minted with: a key holder cannot leave one out.
    if (minted === undefined || capability.links[minted.caveats] !== minted.signature_hash) {
      return { fault: 'capability.unknown_root', detail: capability.rootJti };
    }
    const opened = { ...capability, held: heldOf(capability) };
    keep(digest, opened, token.length);
    return opened;
  };
}

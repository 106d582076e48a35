/**
 * The policies that tenants run: loaded when the control view names another digest. When a new one does not load,
 * the last good one keeps serving; without any, calls are refused.
 */
import { type ActivePolicy, CONTROL_KEYS } from '#contracts/control.ts';
import { PLATFORM, revisionOf, type TenantId } from '#contracts/ids.ts';
import type { PolicyRole } from '#contracts/policy.ts';
import type { Reason } from '#contracts/reasons.ts';
import type { ControlView } from '#host/control-view.ts';
import type { Logger } from '#host/log.ts';
import type { ObjectStore } from '#host/nats.ts';
import { bundleFacts, openBundle } from '#policies/engine/bundle.ts';
import { loadPolicy } from '#policies/engine/wasm.ts';

import type { ActiveBundle } from '../checks/policy.ts';
import type { Watchdog } from './watchdog.ts';

export interface Bundles {
  readonly floor: () => ActiveBundle | Reason;
  readonly active: (tenant: TenantId) => ActiveBundle | Reason;
  /** True while a tenant's first policy, or the floor, is still being loaded. */
  readonly unready: (tenant: TenantId) => boolean;
  /** Resolves when what the view named for a tenant so far is loaded or has failed. */
  readonly settled: (tenant: TenantId) => Promise<void>;
  /** Tenants whose named policy could not be loaded. */
  readonly broken: () => readonly string[];
}

interface Slot {
  /** Digest that the view names; empty when none is active. */
  wanted: string;
  good: ActiveBundle | undefined;
  broken: boolean;
  loading: Promise<void>;
}

export function createBundles(
  view: ControlView,
  store: ObjectStore,
  around: { readonly watchdog: Watchdog; readonly log: Logger },
): Bundles {
  const slots = new Map<string, Slot>();
  const slotOf = (tenant: string): Slot => {
    const known = slots.get(tenant);
    if (known !== undefined) return known;
    const slot: Slot = { wanted: '', good: undefined, broken: false, loading: Promise.resolve() };
    slots.set(tenant, slot);
    return slot;
  };
  const load = async (tenant: string, digest: string, sequence: number) => {
    const slot = slotOf(tenant);
    if (slot.wanted !== digest) return; // another one was named meanwhile
    const role: PolicyRole = tenant === PLATFORM ? 'floor' : 'tenant';
    try {
      const bytes = await store.getBlob(digest);
      if (bytes === null) throw new Error('not in the store');
      const { bundle } = openBundle(bytes, digest, role);
      const policy = await loadPolicy(bundle);
      const evaluate = around.watchdog.watched(tenant, digest, policy.evaluate);
      slot.good = {
        digest,
        revision: revisionOf(epochOf(view), sequence),
        facts: bundleFacts(bundle),
        evaluate,
      };
      slot.broken = false;
    } catch (error) {
      slot.broken = true;
      around.log.error(
        { err: error, tenant, digest },
        'policy does not load; the last good one keeps serving',
      );
    }
  };
  view.onChange((key, entry) => {
    if (!key.startsWith('policy.')) return;
    const tenant = key.slice('policy.'.length);
    const slot = slotOf(tenant);
    const active = entry.value as ActivePolicy | null;
    slot.wanted = active?.digest ?? '';
    if (active === null) slot.good = undefined;
    else slot.loading = slot.loading.then(() => load(tenant, active.digest, entry.sequence));
  });

  const serve = (tenant: TenantId): ActiveBundle | Reason => {
    const slot = slots.get(tenant);
    if (slot === undefined || slot.wanted === '') return 'policy.none';
    if (slot.good === undefined) return 'policy.unavailable';
    const stopped = view.get(CONTROL_KEYS.runaway(tenant, slot.good.digest))?.value ?? null;
    return stopped === null ? slot.good : 'policy.runaway';
  };
  return {
    floor: () => serve(PLATFORM),
    active: serve,
    unready: (tenant) =>
      serve(tenant) === 'policy.unavailable' || serve(PLATFORM) === 'policy.unavailable',
    settled: async (tenant) => {
      await slots.get(tenant)?.loading;
      await slots.get(PLATFORM)?.loading;
    },
    broken: () => [...slots].filter(([, slot]) => slot.broken).map(([tenant]) => tenant),
  };
}

const epochOf = (view: ControlView): string => view.revision().slice(1).split('-')[0] ?? '0';

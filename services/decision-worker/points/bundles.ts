/**
 * The policies that tenants run: loaded when the control view names another digest. When a new one does not load,
 * the last good one keeps serving; without any, calls are refused.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { type ActivePolicy, CONTROL_KEYS } from '#contracts/control.ts';
import {
  parseRevision,
  PLATFORM,
  type Revision,
  revisionOf,
  type TenantId,
} from '#contracts/ids.ts';
import type { PolicyRole } from '#contracts/policy.ts';
import type { Reason } from '#contracts/reasons.ts';
import type { ControlView } from '#host/control-view.ts';
import type { Logger } from '#host/log.ts';
import type { ObjectStore } from '#host/nats.ts';
import { bundleFacts, openBundle, PolicyBundleError } from '#policies/engine/bundle.ts';
import { loadPolicy } from '#policies/engine/wasm.ts';

import type { ActiveBundle } from '../checks/policy.ts';
import type { Watchdog } from './watchdog.ts';

/** Before a policy that could not be had is asked for again. */
const RETRY_MS = 1_000;
const FETCH_MS_MAX = 10_000;

export interface Bundles {
  readonly floor: () => ActiveBundle | Reason;
  readonly active: (tenant: TenantId) => ActiveBundle | Reason;
  /** True while a tenant's first policy, or the floor, is still being loaded. */
  readonly unready: (tenant: TenantId) => boolean;
  /** Resolves when what the view named for a tenant so far is loaded or has failed. */
  readonly settled: (tenant: TenantId) => Promise<void>;
  /** False while a policy that was named up to a revision is not the one that serves. */
  readonly current: (tenant: TenantId, revision: Revision) => boolean;
  /** Tenants whose named policy could not be loaded. */
  readonly broken: () => readonly string[];
}

interface Slot {
  /** Digest that the view names; empty when none is active. */
  wanted: string;
  /** Sequence of the event that named it. */
  since: number;
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
    const slot: Slot = {
      wanted: '',
      since: 0,
      good: undefined,
      broken: false,
      loading: Promise.resolve(),
    };
    slots.set(tenant, slot);
    return slot;
  };
  const begin = (tenant: string): void => {
    const slot = slotOf(tenant);
    slot.loading = slot.loading.then(() => load(slot, { ...around, view, store, tenant, begin }));
  };
  view.onChange((key, entry) => {
    if (!key.startsWith('policy.')) return;
    const tenant = key.slice('policy.'.length);
    const slot = slotOf(tenant);
    const active = entry.value as ActivePolicy | null;
    slot.wanted = active?.digest ?? '';
    slot.since = entry.sequence;
    if (active === null) slot.good = undefined;
    begin(tenant);
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
    current: (tenant, revision) =>
      [tenant, PLATFORM].every((whose) => {
        const { wanted = '', since = 0, good } = slots.get(whose) ?? {};
        const demanded = since <= (parseRevision(revision)?.sequence ?? Number.POSITIVE_INFINITY);
        return wanted === '' || wanted === good?.digest || !demanded;
      }),
    broken: () => [...slots].filter(([, slot]) => slot.broken).map(([tenant]) => tenant),
  };
}

/** Loads what the slot wants, unless that serves already. Never rejects. */
async function load(
  slot: Slot,
  from: {
    readonly view: ControlView;
    readonly store: ObjectStore;
    readonly watchdog: Watchdog;
    readonly log: Logger;
    readonly tenant: string;
    readonly begin: (tenant: string) => void;
  },
): Promise<void> {
  const { wanted: digest, since } = slot;
  const { tenant } = from;
  if (digest === '') return;
  const revision = revisionOf(epochOf(from.view), since);
  try {
    if (slot.good?.digest === digest) slot.good = { ...slot.good, revision };
    else {
      const role: PolicyRole = tenant === PLATFORM ? 'floor' : 'tenant';
      const { bundle } = openBundle(await fetchBundle(from.store, digest), digest, role);
      const policy = await loadPolicy(bundle);
      if (slot.wanted !== digest) return; // another one was named meanwhile
      const evaluate = from.watchdog.watched(tenant, digest, policy.evaluate);
      slot.good = { digest, revision, facts: bundleFacts(bundle), evaluate };
    }
    slot.broken = false;
  } catch (error) {
    slot.broken = true;
    from.log.error(
      { err: error, tenant, digest },
      'policy does not load; the last good one keeps serving',
    );
    // A bundle that is none stays so; one that could not be had must not leave its predecessor for ever.
    if (error instanceof PolicyBundleError) return;
    setTimeout(() => from.begin(tenant), RETRY_MS).unref();
  }
}

/** The stored bytes. @throws when they are not there, or not in time: a read that is lost must not stop the next one */
async function fetchBundle(store: ObjectStore, digest: string): Promise<Uint8Array> {
  const late = new AbortController();
  const bytes = await Promise.race([
    store.getBlob(digest),
    sleep(FETCH_MS_MAX, undefined, { signal: late.signal, ref: false }),
  ]).finally(() => late.abort());
  if (bytes === undefined || bytes === null) throw new Error('the store does not give it');
  return bytes;
}

const epochOf = (view: ControlView): string => view.revision().slice(1).split('-')[0] ?? '0';

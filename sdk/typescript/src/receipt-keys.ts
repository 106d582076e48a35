/** The workers' public keys: given, or fetched and kept, with a back-off for keys that nobody has heard of. */
import type { KeyObject } from 'node:crypto';

import { isObject } from './caveats.ts';
import { publicKey } from './receipt.ts';

/** A JSON Web Key Set. */
export interface KeySet {
  readonly keys: readonly unknown[];
}

/** The key of this id; undefined for one that is not known. @throws when keys cannot be fetched and none are known */
export type FindKey = (id: string) => Promise<KeyObject | undefined>;

/** Fetched again after this, without making a known key wait. */
const FRESH_MS = 300_000;
/** Fetched again for an unknown key: at once, then less and less often. */
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 5_000;
const TIMEOUT_MS = 5_000;

/** Finds keys in a set, or in the set at an address. */
export function keysFrom(source: KeySet | string | URL): FindKey {
  if (typeof source === 'object' && 'keys' in source) {
    const keys = keysIn(source);
    return async (id) => keys.get(id);
  }
  return fetchedKeys(new URL(source));
}

function fetchedKeys(url: URL): FindKey {
  let keys: ReadonlyMap<string, KeyObject> | undefined;
  let fetching: Promise<unknown> | undefined;
  let freshUntil = 0;
  let retryAt = 0;
  let retryMs = RETRY_MS_MIN;
  const refresh = async (): Promise<void> => {
    retryAt = Date.now() + retryMs;
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    keys = keysIn(await fetchJson(url));
    freshUntil = Date.now() + FRESH_MS;
  };
  const refreshed = (): Promise<unknown> => {
    fetching ??= refresh().finally(() => (fetching = undefined));
    return fetching;
  };
  return async (id) => {
    const known = keys?.get(id);
    if (known !== undefined) {
      retryMs = RETRY_MS_MIN;
      if (Date.now() > freshUntil && Date.now() >= retryAt) refreshed().catch(() => undefined);
      return known;
    }
    if (fetching !== undefined || Date.now() >= retryAt) await refreshed();
    if (keys === undefined) throw new Error(`no keys were fetched from ${url.origin}`);
    return keys.get(id);
  };
}

async function fetchJson(url: URL): Promise<unknown> {
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(), TIMEOUT_MS);
  try {
    const response = await fetch(url, { redirect: 'error', signal: ending.signal });
    if (!response.ok) throw new Error(`${url.origin} answered ${response.status}`);
    return await response.json();
  } finally {
    clearTimeout(timer);
  }
}

function keysIn(set: unknown): ReadonlyMap<string, KeyObject> {
  const list = isObject(set) && Array.isArray(set['keys']) ? set['keys'] : [];
  const keys = list.flatMap((jwk) => publicKey(jwk) ?? []);
  return new Map(keys.map(({ id, key }) => [id, key]));
}

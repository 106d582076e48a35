/**
 * Public keys of one registered issuer: inline, or fetched from an address. Fetched keys rotate by themselves; tokens
 * with made-up key ids fetch at most every 30 s, and an address that fails is asked again only after a growing pause.
 */
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  type FetchImplementation,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from 'jose';

import type { Issuer } from '#contracts/control.ts';

/** A token under fetched keys is verified anew after this, so that a withdrawn key is noticed. */
export const REMOTE_KEPT_MS = 5 * 60_000;
const FETCH_MS = 2_000;
const UNKNOWN_KID_PAUSE_MS = 30_000;
const FAILED_PAUSE_MS = 250;
const FAILED_PAUSE_MS_MAX = 30_000;
const SVID_USE = 'jwt-svid';

/** The key that a token's header names. Rejects when keys cannot be had. */
export function keysOf({ jwks, jwks_uri: uri = '', kind }: Issuer): JWTVerifyGetKey {
  const svid = kind === 'jwt-svid';
  if (jwks !== undefined) {
    const set = jwks as unknown as JSONWebKeySet; // checked when it was put
    return createLocalJWKSet(svid ? svidKeys(set) : set);
  }
  return createRemoteJWKSet(new URL(uri), {
    timeoutDuration: FETCH_MS,
    cooldownDuration: UNKNOWN_KID_PAUSE_MS,
    cacheMaxAge: REMOTE_KEPT_MS,
    [customFetch]: pausing(svid ? fetchBundle : fetch),
  });
}

/** Of a trust bundle the keys for JWT-SVIDs (SPIFFE Trust Domain and Bundle, section 4.2.2), in the form that jose takes. */
function svidKeys({ keys }: JSONWebKeySet): JSONWebKeySet {
  return { keys: keys.flatMap(({ use, ...key }) => (use === SVID_USE ? [key] : [])) };
}

const fetchBundle: FetchImplementation = async (url, options) => {
  const response = await fetch(url, options);
  if (!response.ok) return response;
  const bundle = (await response.json()) as JSONWebKeySet | null;
  return Response.json(Array.isArray(bundle?.keys) ? svidKeys(bundle) : bundle);
};

/** The same fetch, which after a failure fails at once until a pause is over; each failure doubles it. */
function pausing(get: FetchImplementation): FetchImplementation {
  let pauseMs = 0;
  let until = Number.NEGATIVE_INFINITY;
  return async (url, options) => {
    if (performance.now() < until) throw new Error('these keys could not be had a moment ago');
    try {
      const response = await get(url, options);
      if (!response.ok) throw new Error(`keys were answered with status ${response.status}`);
      pauseMs = 0;
      return response;
    } catch (error) {
      pauseMs = Math.min(Math.max(pauseMs * 2, FAILED_PAUSE_MS), FAILED_PAUSE_MS_MAX);
      until = performance.now() + pauseMs;
      throw error;
    }
  };
}

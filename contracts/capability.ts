/**
 * Capabilities: signed, narrowable grants (the second check's credential). An HMAC-SHA-256 chain in
 * IntentGate's v4 format: the key signs the claims, each signature signs the next caveat, so a
 * holder can add a caveat but never take one away. Format, caveats and limits: docs/capability.md.
 */
import { hash, hkdfSync, timingSafeEqual } from 'node:crypto';

import { readCaveat, type Caveat, type CaveatType } from '#contracts/capability/caveats.ts';
import { DIALECTS, encodeJson, isSameInAll, type Dialect } from '#contracts/capability/encoding.ts';
import {
  claimsText,
  readCapability,
  writeCapability,
  type CapabilityClaims,
  type DecodedCapability,
} from '#contracts/capability/format.ts';
import { hmacSha256 } from '#contracts/capability/hmac.ts';
import { MalformedCapability, type CapabilityFault } from '#contracts/capability/malformed.ts';
import { asJson } from '#contracts/json.ts';

/** A capability whose every claim and caveat its issuer, or a holder narrowing it, has signed. */
export interface VerifiedCapability extends CapabilityClaims {
  readonly caveats: readonly Caveat[];
  /**
   * Lower-case hex SHA-256 of each signature of the chain: first the root's (by which its minting
   * is recorded), then one for each caveat. They are the revocation ids: revoking one revokes all that was narrowed from it.
   */
  readonly links: readonly string[];
  /** Which of the given keys signed it. */
  readonly keyIndex: number;
}

export type CapabilityRefusal = {
  readonly ok: false;
  readonly code: CapabilityFault;
  /** For operators, never for the caller. */
  readonly detail: string;
};

/** At most this many keys are tried: v4 has no key id. */
export const CAPABILITY_KEYS_MAX = 3;

/**
 * A root capability. Throws `MalformedCapability` when claims or caveats could not be read back.
 * An expiry MUST stand before the caveats that count (`max_calls`, `amount` with a total).
 */
export function mintCapability(
  root: { readonly claims: Omit<CapabilityClaims, 'rootJti'>; readonly caveats: readonly Caveat[] },
  key: Uint8Array,
): string {
  const claims = { ...root.claims, rootJti: root.claims.jti };
  const signature = hmacSha256(key, claimsText(claims));
  return append({ claims, caveats: [], signature }, root.caveats);
}

/**
 * The same capability narrowed by more caveats; needs no key. Adding one never allows more, whatever
 * it says. Throws `MalformedCapability`; does not check the signature it builds on.
 */
export function attenuate(capability: string, caveats: readonly Caveat[]): string {
  return append(readCapability(capability), caveats);
}

/** The parts of a capability, for people and tools that hold no key. Nothing is verified. */
export function decodeCapability(
  capability: string,
): { readonly ok: true; readonly capability: DecodedCapability } | CapabilityRefusal {
  try {
    return { ok: true, capability: readCapability(capability) };
  } catch (fault) {
    if (!(fault instanceof MalformedCapability)) throw fault;
    return { ok: false, code: fault.code, detail: fault.detail };
  }
}

/**
 * Whether one of the keys signed this capability. Only then may anything in it be believed; what
 * its caveats allow is for `judgeCaveats`. Reads any of the three encodings of a v4 caveat.
 */
export function verifyCapability(
  capability: string,
  keys: readonly Uint8Array[],
): { readonly ok: true; readonly capability: VerifiedCapability } | CapabilityRefusal {
  if (keys.length > CAPABILITY_KEYS_MAX) throw new RangeError('more capability keys than allowed');
  const decoded = decodeCapability(capability);
  if (!decoded.ok) return decoded;
  const { claims, caveats, signature } = decoded.capability;
  const root = claimsText(claims);
  const readings = possibleReadings(caveats);
  for (const [keyIndex, key] of keys.entries()) {
    for (const texts of readings) {
      const chain = signatures(hmacSha256(key, root), texts);
      if (!timingSafeEqual(chain.at(-1) ?? key, signature)) continue;
      const links = chain.map((link) => hash('sha256', link, 'hex'));
      return { ok: true, capability: { ...claims, caveats, links, keyIndex } };
    }
  }
  return { ok: false, code: 'capability.signature', detail: 'no key of this tenant signed it' };
}

/**
 * The key that signs the root capabilities of one tenant: HKDF-SHA-256 (RFC 5869) of the master key
 * with an empty salt and the info `countersign capability v4 ` followed by the tenant. 32 bytes.
 */
export function deriveTenantKey(master: Uint8Array, tenant: string): Uint8Array {
  if (master.length < 32) throw new RangeError('the master key is shorter than 32 bytes');
  return new Uint8Array(hkdfSync('sha256', master, '', `countersign capability v4 ${tenant}`, 32));
}

/** A new jti in v4's form: 4 bytes of unix seconds and 12 random bytes that the caller draws. */
export function capabilityId(seconds: number, random: Uint8Array): string {
  if (random.length !== 12) throw new RangeError('a capability id needs 12 random bytes');
  const time = Buffer.alloc(4);
  time.writeUInt32BE(seconds);
  return Buffer.concat([time, random]).toString('base64url');
}

function append(parent: DecodedCapability, added: readonly Caveat[]): string {
  const caveats = added.map((caveat) => readCaveat(asJson(caveat)));
  const texts = caveats.map((caveat) => caveatText(caveat, 'go'));
  const signature = signatures(parent.signature, texts).at(-1) ?? parent.signature;
  return writeCapability({
    claims: parent.claims,
    caveats: [...parent.caveats, ...caveats],
    signature,
  });
}

/** The signature to begin with and one more for each caveat. */
function signatures(first: Uint8Array, texts: readonly string[]): Uint8Array[] {
  const chain = [first];
  let last = first;
  for (const text of texts) {
    last = hmacSha256(last, text);
    chain.push(last);
  }
  return chain;
}

function caveatText(caveat: Caveat, dialect: Dialect): string {
  return encodeJson(asJson(caveat), dialect);
}

/** Caveats that IntentGate's SDKs may have written in their own encoding; ours have one only. */
const SEVERAL_DIALECTS: ReadonlySet<CaveatType> = new Set([
  'agent_lock',
  'exp',
  'tool_allow',
  'tool_deny',
  'mcp_allow',
  'max_calls',
  'step_up',
  'callee_allow',
  'risk_max',
  'rate_limit',
  'max_cost',
]);

/** Bounds the work that a hostile capability can cause. */
const READINGS_MAX = 9;

/**
 * The texts that the caveats may have been signed as, most likely first. Different programs may
 * have added different caveats, so their dialects mix; beyond nine combinations only the three in
 * which one program wrote all of them are tried.
 */
function possibleReadings(caveats: readonly Caveat[]): string[][] {
  const forms = caveats.map(possibleTexts);
  const combinations = forms.reduce((product, texts) => product * new Set(texts).size, 1);
  if (combinations > READINGS_MAX) {
    return DIALECTS.map((_, which) => forms.map((texts) => texts[which] ?? texts[0] ?? ''));
  }
  return forms.reduce<string[][]>(
    (readings, texts) =>
      readings.flatMap((head) => [...new Set(texts)].map((text) => [...head, text])),
    [[]],
  );
}

/** The text of a caveat in each dialect, or the only one if all agree or it is our own. */
function possibleTexts(caveat: Caveat): string[] {
  const text = caveatText(caveat, 'go');
  if (isSameInAll(text) || !SEVERAL_DIALECTS.has(caveat.t)) return [text];
  return DIALECTS.map((dialect) => caveatText(caveat, dialect));
}

import { readCaveat, type Caveat } from '#contracts/capability/caveats.ts';
/**
 * A capability as text: unpadded base64url of one JSON object with the members v, jti, root_jti, iss,
 * tenant, zone, sub, iat, nbf, cav, sig in this order (IntentGate's v4). Reading is strict: one text
 * per capability and dialect, so nothing about it can be changed without being noticed.
 */
import {
  COMPACT,
  encodeJson,
  PYTHON_DEFAULT,
  type Dialect,
  type Separators,
} from '#contracts/capability/encoding.ts';
import { MalformedCapability } from '#contracts/capability/malformed.ts';
import { isName, isSeconds } from '#contracts/capability/values.ts';
import { asJson, type Json, type JsonObject, MalformedJson, parseStrict } from '#contracts/json.ts';

export const CAPABILITY_VERSION = 4;
/** Longest accepted capability in characters. */
export const CAPABILITY_CHARS_MAX = 16 * 1024;
export const CAVEATS_MAX = 64;

/** What the issuer states of a capability; times in unix seconds. */
export interface CapabilityClaims {
  readonly jti: string;
  readonly rootJti: string;
  readonly issuer: string;
  readonly tenant: string;
  readonly zone: string;
  readonly subject: string;
  readonly issuedAt: number;
  readonly notBefore: number | null;
}

/** A capability that was read but not verified. */
export interface DecodedCapability {
  readonly claims: CapabilityClaims;
  readonly caveats: readonly Caveat[];
  readonly signature: Uint8Array;
}

/** The bytes that the root signature covers. */
export function claimsText(claims: CapabilityClaims): string {
  return encodeJson(claimMembers(claims), 'go');
}

/**
 * The text of a capability in our own form: Go's encoding, no blanks. Throws `MalformedCapability`
 * for what `readCapability` would refuse, so that nothing unreadable is ever made.
 */
export function writeCapability(capability: DecodedCapability): string {
  const text = Buffer.from(transportText(capability, 'go', COMPACT)).toString('base64url');
  readCapability(text);
  return text;
}

/** The parts of a capability. Untrusted: nothing is verified. Throws `MalformedCapability`. */
export function readCapability(encoded: string): DecodedCapability {
  if (encoded.length > CAPABILITY_CHARS_MAX) {
    throw malformed(`longer than ${CAPABILITY_CHARS_MAX} characters`);
  }
  const bytes = decodeBase64url(encoded);
  const members = readMembers(bytes);
  if (members['v'] !== CAPABILITY_VERSION) {
    throw new MalformedCapability('capability.version', 'only version 4 is accepted');
  }
  const capability: DecodedCapability = {
    claims: readClaims(members),
    caveats: readCaveats(members['cav'] ?? []),
    signature: readSignature(members['sig']),
  };
  // Foreign, reordered and differently written members all fail here.
  const text = bytes.toString('utf8');
  const exact = TRANSPORTS.some(
    ([dialect, separators]) => transportText(capability, dialect, separators) === text,
  );
  if (!exact) throw malformed('not written in the one form that its content has');
  return capability;
}

/** How each implementation writes a whole capability. */
const TRANSPORTS: readonly (readonly [Dialect, Separators])[] = [
  ['go', COMPACT],
  ['js', COMPACT],
  ['python', PYTHON_DEFAULT],
];

function transportText(
  { claims, caveats, signature }: DecodedCapability,
  dialect: Dialect,
  separators: Separators,
): string {
  const members: JsonObject = claimMembers(claims);
  if (caveats.length > 0) members['cav'] = caveats.map(asJson);
  members['sig'] = Buffer.from(signature).toString('base64url');
  return encodeJson(members, dialect, separators);
}

function claimMembers(claims: CapabilityClaims): JsonObject {
  const members: JsonObject = {
    v: CAPABILITY_VERSION,
    jti: claims.jti,
    root_jti: claims.rootJti,
    iss: claims.issuer,
    tenant: claims.tenant,
    zone: claims.zone,
    sub: claims.subject,
    iat: claims.issuedAt,
  };
  if (claims.notBefore !== null) members['nbf'] = claims.notBefore;
  return members;
}

/** Base64url without padding, blanks, foreign characters or stray bits in the last one. */
function decodeBase64url(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64url');
  if (text === '' || bytes.toString('base64url') !== text) {
    throw malformed('not unpadded base64url');
  }
  return bytes;
}

function readMembers(bytes: Uint8Array): JsonObject {
  try {
    // Object, list of caveats, caveat, list of names.
    const value = parseStrict(bytes, { bytes: CAPABILITY_CHARS_MAX, depth: 4, members: 20_000 });
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value;
  } catch (fault) {
    if (fault instanceof MalformedJson) throw malformed(fault.message);
    throw fault;
  }
  throw malformed('not a JSON object');
}

function readClaims(members: JsonObject): CapabilityClaims {
  return {
    jti: readName(members, 'jti'),
    rootJti: readName(members, 'root_jti'),
    issuer: readName(members, 'iss'),
    tenant: readName(members, 'tenant'),
    zone: readName(members, 'zone'),
    subject: readName(members, 'sub'),
    issuedAt: readSeconds(members, 'iat'),
    notBefore: members['nbf'] === undefined ? null : readSeconds(members, 'nbf'),
  };
}

function readName(members: JsonObject, name: string): string {
  const value = members[name] ?? null;
  if (!isName(value)) throw malformed(`"${name}" must be a text of 1 to 1024 bytes`);
  return value;
}

function readSeconds(members: JsonObject, name: string): number {
  const value = members[name] ?? null;
  if (!isSeconds(value)) throw malformed(`"${name}" must be a time in whole unix seconds`);
  return value;
}

function readCaveats(value: Json): Caveat[] {
  if (!Array.isArray(value)) throw malformed('"cav" must be a list');
  if (value.length > CAVEATS_MAX) throw malformed(`more than ${CAVEATS_MAX} caveats`);
  return value.map(readCaveat);
}

function readSignature(value: Json | undefined): Uint8Array {
  if (typeof value !== 'string') throw malformed('"sig" is missing');
  const bytes = decodeBase64url(value);
  if (bytes.length !== 32) throw malformed('"sig" must be 32 bytes');
  return bytes;
}

function malformed(detail: string): MalformedCapability {
  return new MalformedCapability('capability.malformed', detail);
}

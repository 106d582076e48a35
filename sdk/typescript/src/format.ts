/**
 * A capability as text: unpadded base64url of one JSON object, members in a fixed order (docs/capability.md of
 * Countersign). Reading is strict: what is not written in the one form that its content has is refused.
 */
import { isName, isObject, isSeconds, readCaveat, type Caveat } from './caveats.ts';
import { MalformedCapability } from './errors.ts';

const VERSION = 4;
const CHARS_MAX = 16 * 1024;
const CAVEATS_MAX = 64;
const SIGNATURE_BYTES = 32;

/** The parts of a capability; its claims are the object's members up to `iat` or `nbf`, in order. */
export interface Parts {
  readonly claims: Claims;
  readonly caveats: readonly Caveat[];
  readonly signature: Uint8Array;
}

export interface Claims {
  readonly v: number;
  readonly jti: string;
  readonly root_jti: string;
  readonly iss: string;
  readonly tenant: string;
  readonly zone: string;
  readonly sub: string;
  readonly iat: number;
  readonly nbf?: number;
}

/** The parts of a capability; nothing is verified. @throws MalformedCapability */
export function read(token: string): Parts {
  if (token.length > CHARS_MAX) {
    throw new MalformedCapability(`longer than ${CHARS_MAX} characters`);
  }
  const text = textOf(base64urlBytes(token));
  const members = membersOf(text);
  if (members['v'] !== VERSION) {
    throw new MalformedCapability('only version 4 is accepted', 'capability.version');
  }
  const parts: Parts = {
    claims: claimsOf(members),
    caveats: caveatsOf(members['cav'] === undefined ? [] : members['cav']),
    signature: signatureOf(members['sig']),
  };
  // Foreign, repeated, reordered and differently written members all fail here.
  if (!WRITERS.some((writer) => objectText(parts, writer) === text)) {
    throw new MalformedCapability('not written in the one form that its content has');
  }
  return parts;
}

/** The text of a capability in Countersign's own form. @throws MalformedCapability for what could not be read back */
export function write(parts: Parts): string {
  const token = Buffer.from(objectText(parts, GO)).toString('base64url');
  read(token);
  return token;
}

/** The bytes of a caveat that its signature covers, as text. */
export function signedText(caveat: Caveat): string {
  return encode(caveat, GO);
}

/** How a program writes JSON. */
interface Writer {
  readonly escaped: RegExp;
  readonly item: string;
  readonly name: string;
}

/** As Go's encoding/json. */
const GO: Writer = { escaped: /[<>&\u2028\u2029]/g, item: ',', name: ':' };
/** Capabilities written by IntentGate's JavaScript and Python SDKs can be read, too. */
const JAVASCRIPT: Writer = { escaped: /(?!)/g, item: ',', name: ':' };
const PYTHON: Writer = { escaped: /[\u007f-\uffff]/g, item: ', ', name: ': ' };
const WRITERS = [GO, JAVASCRIPT, PYTHON];

function encode(value: unknown, writer: Writer): string {
  if (typeof value === 'string') return encodeText(value, writer);
  if (Array.isArray(value)) {
    return `[${value.map((entry) => encode(entry, writer)).join(writer.item)}]`;
  }
  if (!isObject(value)) return String(value);
  const members = Object.entries(value).map(
    ([name, content]) => encodeText(name, writer) + writer.name + encode(content, writer),
  );
  return `{${members.join(writer.item)}}`;
}

function encodeText(text: string, { escaped }: Writer): string {
  return JSON.stringify(text).replace(
    escaped,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function objectText({ claims, caveats, signature }: Parts, writer: Writer): string {
  const sig = Buffer.from(signature).toString('base64url');
  return encode({ ...claims, ...(caveats.length === 0 ? {} : { cav: caveats }), sig }, writer);
}

/** Without padding, blanks, foreign characters or stray bits in the last one. */
function base64urlBytes(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64url');
  if (text === '' || bytes.toString('base64url') !== text) {
    throw new MalformedCapability('not unpadded base64url');
  }
  return bytes;
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw unreadable('not UTF-8', cause);
  }
}

function membersOf(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw unreadable('not JSON', cause);
  }
  if (!isObject(value)) throw new MalformedCapability('not a JSON object');
  return value;
}

function unreadable(message: string, cause: unknown): MalformedCapability {
  const fault = new MalformedCapability(message);
  fault.cause = cause;
  return fault;
}

function claimsOf(members: Readonly<Record<string, unknown>>): Claims {
  const name = (member: string): string => {
    const value = members[member];
    if (!isName(value))
      throw new MalformedCapability(`"${member}" must be a text of 1 to 1024 bytes`);
    return value;
  };
  const seconds = (member: string): number => {
    const value = members[member];
    if (!isSeconds(value)) throw new MalformedCapability(`"${member}" must be whole unix seconds`);
    return value;
  };
  return {
    v: VERSION,
    jti: name('jti'),
    root_jti: name('root_jti'),
    iss: name('iss'),
    tenant: name('tenant'),
    zone: name('zone'),
    sub: name('sub'),
    iat: seconds('iat'),
    ...(members['nbf'] === undefined ? {} : { nbf: seconds('nbf') }),
  };
}

function caveatsOf(value: unknown): Caveat[] {
  if (!Array.isArray(value)) throw new MalformedCapability('"cav" must be a list');
  if (value.length > CAVEATS_MAX) throw new MalformedCapability(`more than ${CAVEATS_MAX} caveats`);
  return value.map(readCaveat);
}

function signatureOf(value: unknown): Uint8Array {
  if (typeof value !== 'string') throw new MalformedCapability('"sig" is missing');
  const bytes = base64urlBytes(value);
  if (bytes.length !== SIGNATURE_BYTES) throw new MalformedCapability('"sig" must be 32 bytes');
  return bytes;
}

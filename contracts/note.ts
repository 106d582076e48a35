/**
 * Signed notes (https://c2sp.org/signed-note): a text and lines of signatures, with Ed25519 signatures of the text itself
 * (a log's) or of the text at a time (a witness's, https://c2sp.org/tlog-cosignature).
 */
import { createPrivateKey, createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto';

/** Signature type of a vkey: Ed25519 over the text. */
export const NOTE_ED25519 = 0x01;
/** Signature type of a vkey: Ed25519 over the text at a time, of a witness. */
export const COSIGNATURE_ED25519 = 0x04;

/** A public key with the name that its signature lines bear. */
export interface VerifierKey {
  readonly name: string;
  /** 8 hex digits; with the name it tells which key a signature line is of. */
  readonly id: string;
  readonly type: number;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** A private key with its name; `seed` has 32 bytes (RFC 8032). */
export interface SignerKey {
  readonly name: string;
  readonly type: number;
  readonly seed: Uint8Array;
}

/** A signature of a note that holds. */
export interface NoteSignature {
  readonly key: VerifierKey;
  /** Seconds UTC that a cosignature names, 0 for a plain signature. */
  readonly seconds: number;
  /** The whole line, with its line break. */
  readonly line: string;
}

export interface OpenedNote {
  /** What was signed, with its last line break. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

const KEY_BYTES = 32;
const ID_BYTES = 4;
const TIME_BYTES = 8;
const SIGNATURE_BYTES = 64;
/** At least 16 must be accepted; each may have nearly 5 KB. */
const SIGNATURES_MAX = 64;
/** Longer texts are no notes. */
export const NOTE_CHARS_MAX = 512 * 1024;
const PRIVATE = 'PRIVATE+KEY+';
const DASH = '\u2014 ';

/** A name without blanks and plus signs. */
export const isKeyName = (name: string): boolean => /^[^\s+]+$/u.test(name) && name.isWellFormed();

/** The key in a vkey text `name+id+base64(type || key)`, undefined for any other text or a type not known here. */
export function parseVerifierKey(vkey: string): VerifierKey | undefined {
  const read = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/u.exec(vkey);
  const [, name = '', id = '', encoded = ''] = read ?? [];
  const bytes = base64(encoded);
  const type = bytes?.[0];
  if (bytes?.length !== 1 + KEY_BYTES || !isKeyName(name)) return undefined;
  if (type !== NOTE_ED25519 && type !== COSIGNATURE_ED25519) return undefined;
  const key = verifierKey(name, type, bytes.subarray(1));
  return key.id === id ? key : undefined;
}

/** The text of a public key, a vkey. */
export const showVerifierKey = ({ name, id, type, publicKey }: VerifierKey): string =>
  `${name}+${id}+${Buffer.from([type, ...publicKey]).toString('base64')}`;

/** @param publicKey 32 bytes */
export function verifierKey(name: string, type: number, publicKey: Uint8Array): VerifierKey {
  const named = Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(type), publicKey]);
  return { name, id: hash('sha256', named, 'hex').slice(0, 2 * ID_BYTES), type, publicKey };
}

/** The public half of a private key. */
export function verifierKeyOf({ name, type, seed }: SignerKey): VerifierKey {
  const { x = '' } = createPublicKey(privateKey(seed)).export({ format: 'jwk' });
  return verifierKey(name, type, Buffer.from(x, 'base64url'));
}

/**
 * The key in the text of a private key, `PRIVATE+KEY+name+id+base64(0x01 || seed)` as Go's note package writes it, for
 * signatures of this type. Undefined for any other text.
 */
export function parseSignerKey(text: string, type: number): SignerKey | undefined {
  const read = /^PRIVATE\+KEY\+([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/u.exec(text);
  const [, name = '', id = '', encoded = ''] = read ?? [];
  const bytes = base64(encoded);
  if (bytes?.length !== 1 + KEY_BYTES || bytes[0] !== NOTE_ED25519) return undefined;
  const plain = { name, type: NOTE_ED25519, seed: bytes.subarray(1) };
  return verifierKeyOf(plain).id === id ? { ...plain, type } : undefined;
}

/** The text of a private key, as parseSignerKey reads it. Secret. */
export function showSignerKey({ name, seed }: SignerKey): string {
  const { id } = verifierKeyOf({ name, type: NOTE_ED25519, seed });
  return `${PRIVATE}${name}+${id}+${Buffer.from([NOTE_ED25519, ...seed]).toString('base64')}`;
}

/** The signature line of a key under a text. @param seconds UTC, for a cosignature */
export function signatureLine(text: string, signer: SignerKey, seconds = 0): string {
  const { name, id } = verifierKeyOf(signer);
  const signature = sign(
    null,
    Buffer.from(signedText(text, signer.type, seconds)),
    privateKey(signer.seed),
  );
  const time = signer.type === COSIGNATURE_ED25519 ? timeBytes(seconds) : Buffer.alloc(0);
  const bytes = Buffer.concat([Buffer.from(id, 'hex'), time, signature]);
  return `${DASH}${name} ${bytes.toString('base64')}\n`;
}

/** A note of a text, which ends in a line break, and signature lines. */
export const noteOf = (text: string, lines: readonly string[]): string =>
  `${text}\n${lines.join('')}`;

/**
 * The text of a note and the signatures of these keys under it. Undefined when the note is malformed, when none of them
 * has signed it, or when one of their signatures does not hold; lines of other keys are ignored. Untrusted.
 */
export function openNote(note: string, keys: readonly VerifierKey[]): OpenedNote | undefined {
  const split = splitNote(note);
  if (split === undefined) return undefined;
  const signatures: NoteSignature[] = [];
  for (const line of split.lines) {
    const { name, bytes } = line;
    const id = bytes.subarray(0, ID_BYTES).toString('hex');
    const key = keys.find((known) => known.name === name && known.id === id);
    if (key === undefined || signatures.some((earlier) => earlier.key === key)) continue;
    const seconds = verified(split.text, key, bytes.subarray(ID_BYTES));
    if (seconds === undefined) return undefined;
    signatures.push({ key, seconds, line: line.text });
  }
  return signatures.length === 0 ? undefined : { text: split.text, signatures };
}

interface Line {
  readonly name: string;
  /** Id and signature. */
  readonly bytes: Buffer;
  readonly text: string;
}

function splitNote(
  note: string,
): { readonly text: string; readonly lines: readonly Line[] } | undefined {
  const end = note.lastIndexOf('\n\n');
  if (end === -1 || note.length > NOTE_CHARS_MAX) return undefined;
  if (CONTROL.test(note) || !note.isWellFormed()) return undefined;
  const texts = note.slice(end + 2).split('\n');
  if (texts.pop() !== '' || texts.length > SIGNATURES_MAX) return undefined;
  const lines = texts.map(readLine);
  if (!lines.every((line) => line !== undefined)) return undefined;
  return { text: note.slice(0, end + 1), lines };
}

function readLine(text: string): Line | undefined {
  const [, name = '', encoded = ''] = /^\u2014 ([^\s+]+) ([^ ]+)$/u.exec(text) ?? [];
  const bytes = base64(encoded);
  if (bytes === undefined || bytes.length <= ID_BYTES) return undefined;
  return { name, bytes, text: `${text}\n` };
}

/** The seconds of a signature that holds, undefined for one that does not. */
function verified(text: string, key: VerifierKey, bytes: Buffer): number | undefined {
  const timed = key.type === COSIGNATURE_ED25519;
  const at = timed ? TIME_BYTES : 0;
  if (bytes.length !== at + SIGNATURE_BYTES) return undefined;
  const seconds = timed ? Number(bytes.readBigUInt64BE()) : 0;
  if (!Number.isSafeInteger(seconds)) return undefined;
  const x = Buffer.from(key.publicKey).toString('base64url');
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const signed = Buffer.from(signedText(text, key.type, seconds));
  return verify(null, signed, publicKey, bytes.subarray(at)) ? seconds : undefined;
}

const signedText = (text: string, type: number, seconds: number): string =>
  type === COSIGNATURE_ED25519 ? `cosignature/v1\ntime ${seconds}\n${text}` : text;

function timeBytes(seconds: number): Buffer {
  const bytes = Buffer.alloc(TIME_BYTES);
  bytes.writeBigUInt64BE(BigInt(seconds));
  return bytes;
}

/** PKCS #8 before the 32 bytes of an Ed25519 seed (RFC 8410). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

const privateKey = (seed: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' });

/** Base64 in its one form (RFC 4648, section 4). */
function base64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return text !== '' && bytes.toString('base64') === text ? bytes : undefined;
}

/** Nothing below a blank but line breaks. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\0-\x09\x0b-\x1f]/;

/**
 * Opaque handles that leave the house and come back: the `ref` of a decision and the id of an MCP task. What they
 * name is encrypted and authenticated, so a caller learns no positions and can make none up (AES-256-GCM).
 *
 * Layout before base64url: salt (12 bytes) | counter (6) | ciphertext | tag (16). The sealing key is derived for each
 * process from the salt, so a counter is a nonce that never repeats, however many replicas and restarts there are.
 */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';

import {
  type ApprovalId,
  asApprovalId,
  type DecisionId,
  parseDecisionId,
  parseTenantId,
  type TenantId,
} from '#contracts/ids.ts';

/** ref: names a decision for the report of its outcome. task: names a held call for its later resume. */
export type SealKind = 'ref' | 'task';

/** What a handle stands for. */
export interface Sealed {
  readonly kind: SealKind;
  readonly id: DecisionId;
  /** Digest of tenant, agent and person, as the worker proved it. */
  readonly principal: string;
  /** Milliseconds UTC: end of validity of the decision or the hold. What it means is the opener's to judge. */
  readonly expiresAt: number;
  readonly position: { readonly epoch: string; readonly sequence: number; readonly index: number };
  /** Of a decision that held its call. */
  readonly held?: { readonly tenant: TenantId; readonly approval: ApprovalId };
}

export interface Seal {
  /** Text of base64url characters, below SEALED_CHARS_MAX for positions of ours. */
  readonly seal: (what: Sealed) => string;
  /** What was sealed, or undefined for text that this key did not seal or that is of another kind. Untrusted input. */
  readonly open: (kind: SealKind, text: string) => Sealed | undefined;
  /** Seals any text for one purpose, such as a session. The purpose is a name without line breaks, and no SealKind. */
  readonly wrap: (purpose: string, text: string) => string;
  /** The text that was sealed for this purpose, or undefined. Untrusted input, at most WRAPPED_CHARS_MAX. */
  readonly unwrap: (purpose: string, text: string) => string | undefined;
}

export const SEALED_CHARS_MAX = 512;
export const WRAPPED_CHARS_MAX = 4_096;

const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const SALT_BYTES = 12;
const COUNTER_BYTES = 6;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Keys of other processes that are kept derived; one costs 7 microseconds. */
const KEYS_MAX = 64;
const SEALED_EXPRESSION = /^[A-Za-z0-9_-]+$/;

type KeyOf = (salt: Uint8Array) => KeyObject;

/** Seals and opens with one key of at least 32 bytes, which all replicas share. */
export function createSeal(key: Uint8Array): Seal {
  const salt = randomBytes(SALT_BYTES);
  const keys = new Map<string, KeyObject>();
  const keyOf: KeyOf = (of) => {
    const name = Buffer.from(of).toString('latin1');
    let derived = keys.get(name);
    if (derived === undefined) {
      // As a KeyObject: sealing takes 4 microseconds, with key bytes 16.
      derived = createSecretKey(
        Buffer.from(hkdfSync('sha256', key, of, 'countersign seal', KEY_BYTES)),
      );
      if (keys.size >= KEYS_MAX) keys.clear();
      keys.set(name, derived);
    }
    return derived;
  };
  const ownKey = keyOf(salt);
  const nonce = Buffer.alloc(NONCE_BYTES);
  let counter = 0;
  const encrypt = (plain: string): string => {
    nonce.writeUIntBE(counter++, NONCE_BYTES - COUNTER_BYTES, COUNTER_BYTES);
    const cipher = createCipheriv(CIPHER, ownKey, nonce);
    const head = Buffer.concat([salt, nonce.subarray(NONCE_BYTES - COUNTER_BYTES)]);
    const body = cipher.update(plain, 'utf8');
    cipher.final();
    return Buffer.concat([head, body, cipher.getAuthTag()]).toString('base64url');
  };
  const opened = (text: string, charsMax: number): string | undefined => {
    if (text.length > charsMax || !SEALED_EXPRESSION.test(text)) return undefined;
    return decrypt(Buffer.from(text, 'base64url'), text, keyOf);
  };
  return {
    seal: (what) => encrypt(encode(what)),
    open: (kind, text) => {
      const plain = opened(text, SEALED_CHARS_MAX);
      const what = plain === undefined ? undefined : decode(plain);
      return what?.kind === kind ? what : undefined;
    },
    wrap: (purpose, text) => encrypt(`${purpose}\n${text}`),
    unwrap: (purpose, text) => {
      const plain = opened(text, WRAPPED_CHARS_MAX);
      return plain?.startsWith(`${purpose}\n`) === true
        ? plain.slice(purpose.length + 1)
        : undefined;
    },
  };
}

function decrypt(bytes: Buffer, text: string, keyOf: KeyOf): string | undefined {
  // One text for one handle: base64url has spare bits at its end that decoding ignores.
  if (bytes.toString('base64url') !== text) return undefined;
  const bodyAt = SALT_BYTES + COUNTER_BYTES;
  if (bytes.length <= bodyAt + TAG_BYTES) return undefined;
  const nonce = Buffer.alloc(NONCE_BYTES);
  bytes.copy(nonce, NONCE_BYTES - COUNTER_BYTES, SALT_BYTES, bodyAt);
  const decipher = createDecipheriv(CIPHER, keyOf(bytes.subarray(0, SALT_BYTES)), nonce, {
    authTagLength: TAG_BYTES,
  });
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return (
      decipher.update(bytes.subarray(bodyAt, -TAG_BYTES), undefined, 'utf8') +
      decipher.final('utf8')
    );
  } catch {
    return undefined;
  }
}

function encode({ kind, id, principal, expiresAt, position, held }: Sealed): string {
  const { epoch, sequence, index } = position;
  const parts = [kind, id, principal, expiresAt, epoch, sequence, index];
  return [...parts, held?.tenant ?? '', held?.approval ?? ''].join('\n');
}

/** Only what `encode` made gets here: the tag has been checked. */
function decode(plain: string): Sealed | undefined {
  const [kind, id = '', principal = '', expiresAt, epoch = '', sequence, index, ...rest] =
    plain.split('\n');
  const decisionId = parseDecisionId(id);
  if (decisionId === undefined || (kind !== 'ref' && kind !== 'task')) return undefined;
  const position = { epoch, sequence: Number(sequence), index: Number(index) };
  const sealed: Sealed = {
    kind,
    id: decisionId,
    principal,
    expiresAt: Number(expiresAt),
    position,
  };
  const [of = '', approval = ''] = rest;
  const tenant = parseTenantId(of);
  if (tenant === undefined || approval === '') return sealed;
  return { ...sealed, held: { tenant, approval: asApprovalId(approval) } };
}

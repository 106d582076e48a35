/**
 * Content as it stands in the database: sealed, so that no file of it, dead rows and write-ahead log included, holds a
 * plain value. Bound to its row, so that none can be put in the place of another. Keys are rotated: the newest seals, each opens.
 */
import { createHash, randomFillSync } from 'node:crypto';

import { ConfigError } from './config.ts';
import { readKeyList } from './keys.ts';
import { type Xaes, xaes, XAES_KEY_BYTES, XAES_NONCE_BYTES } from './xaes.ts';

/** The row that content belongs to; `id` names it within tenant and table. */
export interface ContentPlace {
  readonly table: 'payloads' | 'approvals' | 'approval_events' | 'notices';
  readonly tenant: string;
  readonly id: string;
}

export const payloadPlace = (tenant: string, sequence: number): ContentPlace => ({
  table: 'payloads',
  tenant,
  id: String(sequence),
});

export interface AtRest {
  readonly seal: (text: string, place: ContentPlace) => Buffer;
  /** @throws UnknownKey, AlteredContent */
  readonly open: (sealed: Uint8Array, place: ContentPlace) => string;
  /** First bytes of what is sealed with the newest key. */
  readonly newest: Buffer;
}

/** It was sealed with a key that this process was not given. */
export class UnknownKey extends Error {
  constructor(id: string) {
    super(`content at rest is sealed with key ${id}, which is not among the keys of this process`);
  }
}

/** It is not what was sealed for this row. */
export class AlteredContent extends Error {
  constructor({ table, tenant, id }: ContentPlace) {
    super(`the content of ${table} ${tenant} ${id} is not what was stored there`);
  }
}

/** What a row holds; '' where that is not what was sealed for it, which whoever checks it finds wrong. @throws UnknownKey */
export function openOrEmpty({ open }: AtRest, sealed: Uint8Array, place: ContentPlace): string {
  try {
    return open(sealed, place);
  } catch (error) {
    if (error instanceof AlteredContent) return '';
    throw error;
  }
}

/** Newest, the one before, and one that is on its way out. */
const KEYS_MAX = 3;
/** No JSON text begins with it: what does not, is of before contents were sealed. */
const FORMAT = 1;
const KEY_ID_BYTES = 4;
const HEAD_BYTES = 1 + KEY_ID_BYTES;
/** Nonces made at once. */
const NONCES = 256;

/** @param file JSON list of keys, 32 bytes in base64 each, newest first @throws ConfigError */
export function readAtRest(file: string): AtRest {
  const keys = readKeyList(file, 'at-rest keys', KEYS_MAX);
  if (keys.some(({ length }) => length !== XAES_KEY_BYTES))
    throw new ConfigError([`at-rest keys: needs exactly ${XAES_KEY_BYTES} bytes of base64`]);
  return atRest(keys);
}

/** @param keys of 32 bytes, newest first @throws ConfigError where two have one id, or there is none */
export function atRest(keys: readonly Uint8Array[]): AtRest {
  const ciphers = new Map<string, Xaes>(keys.map((key) => [idOf(key), xaes(key)]));
  const [newestId] = ciphers.keys();
  const newest = ciphers.get(newestId ?? '');
  if (newestId === undefined || newest === undefined || ciphers.size !== keys.length)
    throw new ConfigError(['at-rest keys: none, or one twice']);
  const head = Buffer.concat([Buffer.of(FORMAT), Buffer.from(newestId, 'hex')]);
  const nextNonce = nonces();
  return {
    newest: head,
    seal: (text, place) => {
      const nonce = nextNonce();
      return Buffer.concat([head, nonce, ...newest.seal(nonce, Buffer.from(text), aadOf(place))]);
    },
    open: (sealed, place) => {
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length);
      if (bytes[0] !== FORMAT) return bytes.toString();
      const id = bytes.toString('hex', 1, HEAD_BYTES);
      const cipher = ciphers.get(id);
      if (cipher === undefined) throw new UnknownKey(id);
      const nonce = bytes.subarray(HEAD_BYTES, HEAD_BYTES + XAES_NONCE_BYTES);
      const rest = bytes.subarray(HEAD_BYTES + XAES_NONCE_BYTES);
      try {
        return cipher.open(nonce, rest, aadOf(place)).toString();
      } catch {
        throw new AlteredContent(place);
      }
    },
  };
}

const idOf = (key: Uint8Array): string =>
  createHash('sha256')
    .update('countersign key at rest 1\n')
    .update(key)
    .digest('hex')
    .slice(0, 2 * KEY_ID_BYTES);

const aadOf = ({ table, tenant, id }: ContentPlace): Buffer =>
  Buffer.from(JSON.stringify([table, tenant, id]));

/** Nonces, each given once: random, the first half shared by some, which is also what keeps their sealing cheap. */
function nonces(): () => Uint8Array {
  const half = XAES_NONCE_BYTES / 2;
  const random = Buffer.alloc(half * (1 + NONCES));
  let at = random.length;
  return () => {
    if (at === random.length) {
      randomFillSync(random);
      at = half;
    }
    const nonce = new Uint8Array(XAES_NONCE_BYTES);
    nonce.set(random.subarray(0, half));
    nonce.set(random.subarray(at, at + half), half);
    at += half;
    return nonce;
  };
}

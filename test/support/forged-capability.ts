// What somebody without the key could make of a capability: other content in good form, and changes of its characters.

import type { Caveat } from '#contracts/capability/caveats.ts';
import { encodeJson } from '#contracts/capability/encoding.ts';
import type { Json } from '#contracts/json.ts';

interface Forging {
  readonly capability: string;
  /** Caveats that it does not hold, and a capability of the same key that holds them. */
  readonly other: readonly Caveat[];
  readonly another: string;
  /** Any number: where, or which. */
  readonly at: number;
}

interface Inside {
  cav?: Caveat[];
  sig: string;
  [claim: string]: unknown;
}

/** Puts other content into a capability, without the key and in good form. */
const rewritten =
  (change: (inside: Inside, cav: Caveat[], forging: Forging) => Caveat[]) =>
  (forging: Forging): string => {
    const inside = JSON.parse(Buffer.from(forging.capability, 'base64url').toString()) as Inside;
    const { cav = [], sig, ...claims } = inside;
    const body: Inside = { ...claims, sig };
    const changed = change(body, [...cav], forging);
    const { sig: signature, ...rest } = body;
    const list = changed.length === 0 ? {} : { cav: changed };
    const text = encodeJson({ ...rest, ...list, sig: signature } as Json, 'go');
    return Buffer.from(text).toString('base64url');
  };

export const FORGERIES = {
  'a caveat taken out': rewritten((_, cav, { at }) => cav.toSpliced(at % (cav.length || 1), 1)),
  'caveats put in': rewritten((_, cav, { other, at }) =>
    cav.toSpliced(at % (cav.length + 1), 0, ...other),
  ),
  'caveats turned round': rewritten((_, cav) => cav.toReversed()),
  'a caveat made another': rewritten((_, cav, { other: [first], at }) =>
    first === undefined ? cav : cav.toSpliced(at % (cav.length || 1), 1, first),
  ),
  'a claim changed': rewritten((inside, cav, { at }) => {
    const claim = ['jti', 'root_jti', 'iss', 'tenant', 'zone', 'sub'][at % 6]!;
    inside[claim] = `${String(inside[claim])}x`;
    return cav;
  }),
  'a start put in': rewritten((inside, cav) => {
    inside['nbf'] = 1;
    return cav;
  }),
  'the signature of another': rewritten((inside, cav, { another }) => {
    inside.sig = (JSON.parse(Buffer.from(another, 'base64url').toString()) as Inside).sig;
    return cav;
  }),
} as const;

export type Forgery = keyof typeof FORGERIES;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ .';

/** Changes of characters. `at` and `by` are any numbers. */
export const MUTATIONS: readonly ((text: string, at: number, by: number) => string)[] = [
  (text, at, by) => text.slice(0, at) + ALPHABET.charAt(by % ALPHABET.length) + text.slice(at + 1),
  (text, at, by) => text.slice(0, at) + ALPHABET.charAt(by % ALPHABET.length) + text.slice(at),
  (text, at) => text.slice(0, at) + text.slice(at + 1),
  (text, at) => text.slice(0, at),
  (text, at) => text.slice(0, at) + text.charAt(at + 1) + text.charAt(at) + text.slice(at + 2),
  (text, at, by) => text.slice(0, at) + text.slice(at, at + (by % 9)) + text.slice(at),
  flippedBit,
];

/** One bit of the JSON inside. */
function flippedBit(text: string, at: number, by: number): string {
  const bytes = Buffer.from(text, 'base64url');
  const place = at % bytes.length;
  bytes[place] = (bytes[place] ?? 0) ^ (1 << (by % 8));
  return bytes.toString('base64url');
}

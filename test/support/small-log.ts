// A log of a few leaves with a key of its own, written straight from RFC 6962 and on purpose not with our own tree.

import { hash, randomBytes } from 'node:crypto';

import {
  NOTE_ED25519,
  noteOf,
  showVerifierKey,
  signatureLine,
  type SignerKey,
  verifierKeyOf,
} from '#contracts/note.ts';

/** One past of a log: equal pasts have equal leaves, others differ from leaf `from` on. */
export interface Past {
  readonly name: string;
  readonly from: number;
}

export interface SmallLog {
  readonly origin: string;
  readonly vkey: string;
  /** A signed checkpoint of the first `size` leaves. */
  readonly checkpoint: (size: number, past?: Past) => string;
  /** Consistency proof in base64, RFC 6962, 2.1.2. */
  readonly consistency: (from: number, to: number, past?: Past) => string[];
  /** The body of POST /add-checkpoint. */
  readonly request: (from: number, to: number, past?: Past) => string;
}

const HONEST: Past = { name: '', from: 0 };

export function smallLog(origin: string): SmallLog {
  const signer: SignerKey = { name: origin, type: NOTE_ED25519, seed: randomBytes(32) };
  const checkpoint = (size: number, past = HONEST) => {
    const text = `${origin}\n${size}\n${root(past, 0, size).toString('base64')}\n`;
    return noteOf(text, [signatureLine(text, signer)]);
  };
  const consistency = (from: number, to: number, past = HONEST) =>
    from === 0 || from === to
      ? []
      : subproof(past, { from, begin: 0, end: to, whole: true }).map((node) =>
          node.toString('base64'),
        );
  return {
    origin,
    vkey: showVerifierKey(verifierKeyOf(signer)),
    checkpoint,
    consistency,
    request: (from, to, past) =>
      [`old ${from}`, ...consistency(from, to, past), '', checkpoint(to, past)].join('\n'),
  };
}

const sha256 = (...parts: readonly (string | Buffer)[]): Buffer =>
  hash('sha256', Buffer.concat(parts.map((part) => Buffer.from(part))), 'buffer');

const leaf = ({ name, from }: Past, index: number): Buffer =>
  sha256('\0', `${index}${index >= from ? name : ''}`);

function root(past: Past, begin: number, end: number): Buffer {
  if (end === begin) return sha256('');
  if (end - begin === 1) return leaf(past, begin);
  const middle = begin + half(end - begin);
  return sha256('\x01', root(past, begin, middle), root(past, middle, end));
}

/** The largest power of two below n. */
const half = (n: number): number => 2 ** Math.floor(Math.log2(n - 1));

/** SUBPROOF of RFC 6962; `whole` is its b: the old tree is known as a whole. */
function subproof(
  past: Past,
  {
    from,
    begin,
    end,
    whole,
  }: {
    readonly from: number;
    readonly begin: number;
    readonly end: number;
    readonly whole: boolean;
  },
): Buffer[] {
  const count = end - begin;
  if (from === count) return whole ? [] : [root(past, begin, end)];
  const middle = half(count);
  return from <= middle
    ? [
        ...subproof(past, { from, begin, end: begin + middle, whole }),
        root(past, begin + middle, end),
      ]
    : [
        ...subproof(past, { from: from - middle, begin: begin + middle, end, whole: false }),
        root(past, begin, begin + middle),
      ];
}

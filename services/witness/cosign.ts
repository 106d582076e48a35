/**
 * What a witness is for: it cosigns a checkpoint only if it continues the last one that it cosigned. The order of the
 * checks and their statuses are those of https://c2sp.org/tlog-witness.
 */
import { timingSafeEqual } from 'node:crypto';

import { parseCheckpoint } from '#contracts/checkpoint.ts';
import { emptyRoot, verifyConsistency } from '#contracts/merkle.ts';
import { openNote, type VerifierKey } from '#contracts/note.ts';

import { type AddCheckpoint, parseAddCheckpoint } from './request.ts';
import type { Cosigned, WitnessStore } from './store.ts';

/** Why a checkpoint is not cosigned. */
export type Refused =
  | 'malformed'
  | 'unknown_log'
  | 'not_signed'
  | 'old_size_too_large'
  | 'old_size_other'
  | 'fork'
  | 'inconsistent';

export type Judged =
  | { readonly cosign: string; readonly keep: Cosigned }
  | { readonly refused: Refused; readonly latest: number; readonly origin: string };

/** Keys of a log by its origin; none for a log that is not witnessed here. */
export type KeysOf = (origin: string) => readonly VerifierKey[];

/**
 * Judges one request and keeps the new tree before it returns. `cosign` is the text to cosign then.
 * @throws when the store cannot keep it: nothing may be cosigned
 */
export function addCheckpoint(body: Buffer, keysOf: KeysOf, store: WitnessStore): Judged {
  const request = parseAddCheckpoint(body);
  if (request === undefined) return refuse('malformed');
  const origin = request.note.slice(0, request.note.indexOf('\n'));
  const keys = keysOf(origin);
  if (keys.length === 0) return refuse('unknown_log', origin);
  const opened = openNote(request.note, keys);
  if (opened === undefined) return refuse('not_signed', origin);
  const checkpoint = parseCheckpoint(opened.text);
  if (checkpoint === undefined) return refuse('malformed', origin);
  const next = { size: checkpoint.size, root: checkpoint.root };
  return store.advance<Judged & { readonly keep?: Cosigned }>(origin, (latest = UNSEEN) => {
    const refused = whyNot(latest, next, request);
    if (refused !== undefined) return refuse(refused, origin, latest.size);
    return { cosign: opened.text, keep: next };
  });
}

const refuse = (refused: Refused, origin = '', latest = 0): Judged => ({ refused, latest, origin });

/** What is known of a log before it was first seen: it was empty once, and may have become anything. */
const UNSEEN: Cosigned = { size: 0, root: emptyRoot };

/** What keeps `next` from following `latest`, undefined for nothing. */
function whyNot(
  latest: Cosigned,
  next: Cosigned,
  { oldSize, proof }: AddCheckpoint,
): Refused | undefined {
  if (oldSize > next.size) return 'old_size_too_large';
  if (oldSize !== latest.size) return 'old_size_other';
  if (oldSize === next.size && oldSize > 0 && !same(latest.root, next.root)) return 'fork';
  return verifyConsistency({ from: latest, to: next, proof }) ? undefined : 'inconsistent';
}

const same = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && timingSafeEqual(one, other);

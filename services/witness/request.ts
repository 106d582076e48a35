/** The body of POST /add-checkpoint (https://c2sp.org/tlog-witness): old size, consistency proof, checkpoint. */
import { isUtf8 } from 'node:buffer';

import { HASH_BYTES } from '#contracts/chain.ts';
import { parseSize } from '#contracts/checkpoint.ts';

export interface AddCheckpoint {
  readonly oldSize: number;
  readonly proof: readonly Uint8Array[];
  /** The whole signed note, as it came. */
  readonly note: string;
}

/** Lines of a proof that a client may send. */
const PROOF_LINES_MAX = 63;
const OLD = 'old ';

/** Reads a body; undefined for one that is not of this form. Untrusted. */
export function parseAddCheckpoint(body: Buffer): AddCheckpoint | undefined {
  if (!isUtf8(body)) return undefined;
  const text = body.toString('utf8');
  const end = text.indexOf('\n\n');
  if (end === -1) return undefined;
  const [first = '', ...lines] = text.slice(0, end).split('\n');
  const oldSize = first.startsWith(OLD) ? parseSize(first.slice(OLD.length)) : undefined;
  if (oldSize === undefined || lines.length > PROOF_LINES_MAX) return undefined;
  const proof = lines.map((line) => Buffer.from(line, 'base64'));
  // In its one form: the decoder would skip what is not base64.
  const sound = proof.every(
    (hash, index) => hash.length === HASH_BYTES && hash.toString('base64') === lines[index],
  );
  return sound ? { oldSize, proof, note: text.slice(end + 2) } : undefined;
}

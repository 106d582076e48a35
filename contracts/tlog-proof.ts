/**
 * A proof that something stands in a log, in one file that is checked offline: C2SP tlog-proof
 * (https://c2sp.org/tlog-proof). The format only; what a record's proof carries is in record-proof.ts.
 */
import { HASH_BYTES } from './chain.ts';
import { parseSize } from './checkpoint.ts';

export interface TlogProof {
  /** What the application adds; not authenticated by the format. Empty for nothing. */
  readonly extra: Uint8Array;
  readonly index: number;
  /** Inclusion proof, from the leaf's sibling up (RFC 6962, 2.1.1). */
  readonly path: readonly Uint8Array[];
  /** The signed checkpoint with its cosignatures, as it is. */
  readonly checkpoint: string;
}

const INDEX = 'index ';
const MAGIC = 'c2sp.org/tlog-proof@v1';
/** A tree of 2^63 leaves. */
const PATH_HASHES_MAX = 63;
/** Longer texts are no proofs; ours have at most 4 KiB. */
const CHARS_MAX = 256 * 1024;

/** The text of a proof, the content of its file. */
export function tlogProofText({ extra, index, path, checkpoint }: TlogProof): string {
  const lines = [MAGIC];
  if (extra.length > 0) lines.push(`extra ${base64(extra)}`);
  lines.push(`${INDEX}${index}`, ...path.map(base64), '', checkpoint);
  return lines.join('\n');
}

/** The parts of a proof; undefined for a text that is none. Untrusted. */
export function parseTlogProof(text: string): TlogProof | undefined {
  const end = text.indexOf('\n\n');
  if (end === -1 || text.length > CHARS_MAX) return undefined;
  const [magic, ...lines] = text.slice(0, end).split('\n');
  if (magic !== MAGIC || lines.length > PATH_HASHES_MAX + 2) return undefined;
  const extra = lines[0]?.startsWith('extra ') === true ? lines.shift()?.slice(6) : '';
  const index = indexOf(lines.shift());
  const extraBytes = bytesOf(extra ?? '');
  const path = lines.map(bytesOf);
  if (index === undefined || extraBytes === undefined || !path.every(isHash)) return undefined;
  return { extra: extraBytes, index, path, checkpoint: text.slice(end + 2) };
}

const indexOf = (line = ''): number | undefined =>
  line.startsWith(INDEX) ? parseSize(line.slice(INDEX.length)) : undefined;

const isHash = (bytes: Buffer | undefined): bytes is Buffer => bytes?.length === HASH_BYTES;

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** Base64 in its one form (RFC 4648, section 4). */
function bytesOf(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

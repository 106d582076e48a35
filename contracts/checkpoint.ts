/** The text of a checkpoint (https://c2sp.org/tlog-checkpoint), which a log signs as a note (note.ts). */
import { HASH_BYTES } from './chain.ts';
import type { TreeHead } from './merkle.ts';

export interface Checkpoint extends TreeHead {
  /** Name of the log, unique in the world: the schema-less URL of whoever runs it. */
  readonly origin: string;
}

/** Three lines: origin, size, root. We write no extension lines. */
export const checkpointText = ({ origin, size, root }: Checkpoint): string =>
  `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`;

/** The checkpoint in the text of a note, undefined for another text. Extension lines are read over. Untrusted. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  const [origin = '', digits = '', encoded = '', ...rest] = text.split('\n');
  // The last line has its break, and no line is empty.
  if (origin === '' || rest.pop() !== '' || rest.includes('')) return undefined;
  const size = parseSize(digits);
  const root = Buffer.from(encoded, 'base64');
  if (size === undefined || root.length !== HASH_BYTES) return undefined;
  return root.toString('base64') === encoded ? { origin, size, root } : undefined;
}

/** A size or an index in decimal without leading zeros; undefined for other texts, and above 2^53 - 1. */
export function parseSize(digits: string): number | undefined {
  const size = /^(0|[1-9][0-9]*)$/.test(digits) ? Number(digits) : Number.NaN;
  return Number.isSafeInteger(size) ? size : undefined;
}

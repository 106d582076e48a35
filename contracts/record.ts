/**
 * The form of every record on DECISIONS, OUTCOMES, APPROVALS and CONTROL: a leaf (codes, ids, commitments) and
 * a payload (arguments, principal, facts, words), each one line of canonical JSON (RFC 8785).
 * Only the leaf is hashed into the chain; it covers each section of the payload by a salted commitment, so a
 * payload can be erased and every proof still holds. One stored message holds one or more records.
 */
import { hash } from 'node:crypto';

/** Sections of a payload by name, each as canonical JSON text. */
export type Sections = Readonly<Record<string, string>>;

/** Commitments by section name: `sha256:` and 64 hex digits. */
export type Commitments = Readonly<Record<string, string>>;

/** One record as it travels: two lines of canonical JSON. */
export interface RecordLines {
  readonly leaf: string;
  readonly payload: string;
}

/** A stored message never holds more than this, so that one slow record cannot hold up many. */
export const BATCH_RECORDS_MAX = 128;
export const BATCH_BYTES_MAX = 512 * 1024;
/** A larger record is refused (`evidence.too_large`); nats-server takes 1 MiB. */
export const RECORD_BYTES_MAX = 768 * 1024;

/** `sha256:` and the lower-case hex SHA-256 of the text's UTF-8 bytes. */
export const sha256 = (text: string | Uint8Array): string =>
  `sha256:${hash('sha256', text, 'hex')}`;

/**
 * Commitment to one section: SHA-256 over `salt LF name LF text`. The salt (32 hex digits) makes guessing a
 * short value useless once payload and salt are erased; the name keeps sections from being swapped.
 */
export function commitment(salt: string, name: string, text: string): string {
  return sha256(`${salt}\n${name}\n${text}`);
}

/**
 * Payload line and commitments of the given sections.
 * @param sections in ascending order of their names, else the payload would not be canonical
 * @param hidden texts that get a commitment and a salt but do not stand in the payload (derivable from it)
 * @param freshSalt MUST give 32 new random hex digits at each call
 */
export function sealPayload(
  sections: Sections,
  hidden: Sections,
  freshSalt: () => string,
): {
  readonly payload: string;
  readonly commitments: Record<string, string>;
  readonly salts: Readonly<Record<string, string>>;
} {
  const commitments: Record<string, string> = {};
  const salts: Record<string, string> = {};
  let body = '';
  for (const name of Object.keys({ ...sections, ...hidden }).sort()) {
    const text = sections[name] ?? hidden[name] ?? '';
    const salt = freshSalt();
    salts[name] = salt;
    commitments[name] = commitment(salt, name, text);
    if (name in sections) body += `${body === '' ? '' : ','}${JSON.stringify(name)}:${text}`;
  }
  const payload = `{"salts":${JSON.stringify(salts)},"sections":{${body}},"v":1}`;
  return { payload, commitments, salts };
}

/** The stored message of some records. */
export function encodeRecords(records: readonly RecordLines[]): string {
  let text = '';
  for (const { leaf, payload } of records) text += `${leaf}\n${payload}\n`;
  return text;
}

/** Records that could not be read, with no hint about their content. */
export class MalformedRecords extends Error {}

/** The records of a stored message, in order. @throws MalformedRecords when lines do not pair up. */
export function decodeRecords(text: string): RecordLines[] {
  const lines = text.split('\n');
  if (lines.pop() !== '' || lines.length === 0 || lines.length % 2 !== 0) {
    throw new MalformedRecords('lines of leaf and payload do not pair up');
  }
  const records: RecordLines[] = [];
  for (let at = 0; at < lines.length; at += 2) {
    records.push({ leaf: lines[at] ?? '', payload: lines[at + 1] ?? '' });
  }
  return records;
}

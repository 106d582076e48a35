/**
 * Witness policy: which logs and which witnesses are believed, and how many of them are enough. The text format is
 * C2SP tlog-policy (https://c2sp.org/tlog-policy), so one file serves us, Sigsum's tools and torchwood's.
 */
import { isUtf8 } from 'node:buffer';

import { COSIGNATURE_ED25519, NOTE_ED25519, parseVerifierKey, type VerifierKey } from './note.ts';

/** A log whose checkpoints are believed; the key's name is the log's origin. */
export interface PolicyLog {
  readonly key: VerifierKey;
  /** Empty for none. */
  readonly url: string;
}

export interface PolicyWitness {
  /** Known in this file only; what a cosignature bears is the name of the key. */
  readonly name: string;
  readonly key: VerifierKey;
  /** Submission prefix (https://c2sp.org/tlog-witness), empty for none. */
  readonly url: string;
}

/** One witness, or at least so many of these. */
export type Quorum =
  | { readonly witness: string }
  | { readonly atLeast: number; readonly of: readonly Quorum[] };

export interface WitnessPolicy {
  readonly logs: readonly PolicyLog[];
  readonly witnesses: readonly PolicyWitness[];
  readonly quorum: Quorum;
}

/** A policy that cannot be read: the line, counted from 1, and what is wrong with it. */
export class WitnessPolicyError extends Error {
  readonly line: number;
  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`);
    this.line = line;
  }
}

/** What `quorum none` means: no cosignature is asked for. */
export const NO_QUORUM: Quorum = { atLeast: 0, of: [] };
/** Reserved by the format. */
const NONE = 'none';

/** Longer files are no policies: 32 logs, witnesses and groups each fit many times. */
export const POLICY_BYTES_MAX = 256 * 1024;

/** Reads a policy file. @throws WitnessPolicyError */
export function parseWitnessPolicy(file: Uint8Array | string): WitnessPolicy {
  const reading: Reading = { logs: [], witnesses: [], named: new Map(), grouped: new Set() };
  const lines = textOf(file).split('\n');
  for (const [index, line] of lines.entries()) {
    const fields = line.split(/[ \t]+/).filter((field) => field !== '');
    const [keyword = '', ...rest] = fields;
    if (keyword === '' || keyword.startsWith('#')) continue;
    const fault = readLine(reading, keyword, rest);
    if (fault !== '') throw new WitnessPolicyError(index + 1, fault);
  }
  const { logs, witnesses, quorum } = reading;
  if (quorum === undefined) throw new WitnessPolicyError(lines.length, 'there is no quorum line');
  return { logs, witnesses, quorum };
}

/** True when those who cosigned are enough. @param cosigned asked with the names of the policy */
export function quorumMet(quorum: Quorum, cosigned: (witness: string) => boolean): boolean {
  if ('witness' in quorum) return cosigned(quorum.witness);
  return quorum.of.filter((member) => quorumMet(member, cosigned)).length >= quorum.atLeast;
}

/** What was read so far. */
interface Reading {
  readonly logs: PolicyLog[];
  readonly witnesses: PolicyWitness[];
  /** Witnesses and groups share their names. */
  readonly named: Map<string, Quorum>;
  /** Names that are a member of a group already. */
  readonly grouped: Set<string>;
  quorum?: Quorum;
}

/** Adds what a line says; gives what is wrong with it, empty for nothing. */
function readLine(reading: Reading, keyword: string, fields: readonly string[]): string {
  switch (keyword) {
    case 'log':
      return readLog(reading, fields);
    case 'witness':
      return readWitness(reading, fields);
    case 'group':
      return readGroup(reading, fields);
    case 'quorum':
      return readQuorum(reading, fields);
    default:
      return `"${keyword}" is not a keyword`;
  }
}

function readLog({ logs }: Reading, [vkey = '', url = '', ...more]: readonly string[]): string {
  if (vkey === '' || more.length > 0) return 'a log is "log <vkey> [<url>]"';
  const key = parseVerifierKey(vkey);
  if (key?.type !== NOTE_ED25519) return 'the key of a log is an Ed25519 vkey (type 0x01)';
  if (hasKey(logs, key)) return 'this key is that of another log line';
  logs.push({ key, url });
  return '';
}

function readWitness(reading: Reading, fields: readonly string[]): string {
  const [name = '', vkey = '', url = '', ...more] = fields;
  if (vkey === '' || more.length > 0) return 'a witness is "witness <name> <vkey> [<url>]"';
  const key = parseVerifierKey(vkey);
  if (key?.type !== COSIGNATURE_ED25519)
    return 'the key of a witness is an Ed25519 cosignature vkey (type 0x04)';
  if (hasKey(reading.witnesses, key)) return 'this key is that of another witness line';
  const fault = define(reading, name, { witness: name });
  if (fault === '') reading.witnesses.push({ name, key, url });
  return fault;
}

function readGroup(reading: Reading, fields: readonly string[]): string {
  const [name = '', count = '', ...members] = fields;
  if (members.length === 0) return 'a group is "group <name> all|any|<k> <name>..."';
  const atLeast = count === 'all' ? members.length : count === 'any' ? 1 : decimal(count);
  if (atLeast < 1 || atLeast > members.length)
    return `"${count}" is not all, any or a number from 1 to ${members.length}`;
  const of: Quorum[] = [];
  for (const member of members) {
    const found = reading.named.get(member);
    if (found === undefined) return `"${member}" is not defined on a line before`;
    if (reading.grouped.has(member)) return `"${member}" is a member of a group already`;
    reading.grouped.add(member);
    of.push(found);
  }
  return define(reading, name, { atLeast, of });
}

function readQuorum(reading: Reading, [name = '', ...more]: readonly string[]): string {
  if (name === '' || more.length > 0) return 'a quorum is "quorum <name>"';
  if (reading.quorum !== undefined) return 'there is a quorum line already';
  const quorum = name === NONE ? NO_QUORUM : reading.named.get(name);
  if (quorum === undefined) return `"${name}" is not defined on a line before`;
  reading.quorum = quorum;
  return '';
}

function define({ named }: Reading, name: string, quorum: Quorum): string {
  if (name === NONE) return '"none" is reserved';
  if (named.has(name)) return `"${name}" is defined already`;
  named.set(name, quorum);
  return '';
}

/** A number without sign or leading zero, 0 for anything else. */
const decimal = (text: string): number => (/^[1-9]\d{0,8}$/.test(text) ? Number(text) : 0);

/** Keys are the same when the key itself is, whatever its name. */
const hasKey = (known: readonly { readonly key: VerifierKey }[], { publicKey }: VerifierKey) =>
  known.some(({ key }) => Buffer.from(key.publicKey).equals(publicKey));

/** Untrusted bytes as text in which different octets stay different. */
function textOf(file: Uint8Array | string): string {
  const bytes = Buffer.from(file);
  if (bytes.length > POLICY_BYTES_MAX) throw new WitnessPolicyError(1, 'the file is too long');
  const text = bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1');
  const bad = text.search(CONTROL);
  if (bad === -1) return text;
  throw new WitnessPolicyError(text.slice(0, bad).split('\n').length, 'holds a control character');
}

/** Allowed are tab, newline, printable ASCII and whatever is not ASCII. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\0-\x08\x0b-\x1f\x7f]/;

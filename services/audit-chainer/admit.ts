/**
 * Reads a stored message: who wrote it, and what may be chained of it. Untrusted: everything in it, until its MAC
 * proves the writer; after that still its form, because a chain keeps what it took for ever.
 */
import { type Static, Type } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';

import { Verdict } from '#contracts/call.ts';
import { parseCanonical } from '#contracts/canonical-text.ts';
import { AT_MAX, type ChainSource, indexText } from '#contracts/chain.ts';
import { DecisionIdSchema, PLATFORM, TenantIdSchema } from '#contracts/ids.ts';
import { checkMac, type MacKeys } from '#contracts/mac.ts';
import { decodeRecords, type RecordLines } from '#contracts/record.ts';
import { searchTerms } from '#contracts/search.ts';
import type { StreamName } from '#contracts/streams.ts';
import { readRecordSubject, type RecordSubject } from '#contracts/subjects.ts';
import type { Delivered } from '#host/consume.ts';

import { alertAbout, type Candidate } from './candidate.ts';

/** The stream that a message came from. */
export interface Origin {
  readonly stream: StreamName;
  readonly epoch: string;
}

const common = {
  at: Type.Integer({ minimum: 0, maximum: AT_MAX }),
  commitments: Type.Record(Type.String(), Type.String()),
  v: Type.Integer(),
};
const Id = Type.String({ pattern: '^[!-~]{1,128}$' });

// Only what the chain itself needs: a newer writer may say more than this version knows.
const Decision = Type.Object({
  ...common,
  agent: Type.String(),
  id: DecisionIdSchema,
  kind: Type.Literal('decision'),
  tenant: TenantIdSchema,
  verdict: Verdict,
});
const Outcome = Type.Object({
  ...common,
  decision_id: DecisionIdSchema,
  id: Id,
  kind: Type.Literal('outcome'),
  tenant: TenantIdSchema,
});
const Approval = Type.Object({
  ...common,
  decision_id: DecisionIdSchema,
  id: Id,
  kind: Type.String(),
  tenant: TenantIdSchema,
});
const Control = Type.Object({
  ...common,
  id: Id,
  kind: Type.String(),
  tenant: Type.Union([TenantIdSchema, Type.Literal(PLATFORM)]),
});

interface Leaf extends Static<typeof Control> {
  readonly agent?: string;
  readonly decision_id?: string;
  readonly verdict?: string;
}

const CHECKS: Readonly<Record<'decision' | 'outcome' | 'approval' | 'control', Validator>> = {
  decision: Compile(Decision),
  outcome: Compile(Outcome),
  approval: Compile(Approval),
  control: Compile(Control),
};

/** What the chains have to hold of a message: its records, or alerts about what is no record. Never empty. */
export function admit(message: Delivered, origin: Origin, keys: MacKeys): Candidate[] {
  const { subject, body, mac, storedAt, sequence } = message;
  const source = (index: number): ChainSource => ({
    epoch: origin.epoch,
    index,
    sequence,
    stream: origin.stream,
  });
  const refuse = (fault: string) => [
    alertAbout({
      source: source(0),
      storedAt,
      fault: `${subject.slice(0, 300)}: ${fault}`,
      bytes: body,
    }),
  ];
  const signed = checkMac(keys, { subject, body, header: mac });
  if ('fault' in signed) return refuse(`MAC ${signed.fault}`);
  const said = readRecordSubject(subject);
  if (said === undefined) return refuse('no records of a known kind');
  const records = readRecords(body);
  if (records === undefined) return refuse('not lines of leaf and payload');
  return records.map((lines, index) => {
    const candidate = readRecord(lines, said, { source: source(index), storedAt });
    if (typeof candidate !== 'string') return candidate;
    const bytes = new TextEncoder().encode(`${lines.leaf}\n${lines.payload}\n`);
    const fault = `${subject.slice(0, 300)}: ${candidate}`;
    return alertAbout({ source: source(index), storedAt, fault, bytes });
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function readRecords(body: Uint8Array): RecordLines[] | undefined {
  try {
    return decodeRecords(utf8.decode(body));
  } catch {
    return undefined; // not UTF-8, or lines that do not pair up
  }
}

/** The record, or why it is none. */
function readRecord(
  lines: RecordLines,
  said: RecordSubject,
  where: { readonly source: ChainSource; readonly storedAt: number },
): Candidate | string {
  // Postgres text holds no NUL; JSON never needs a bare one.
  if (lines.payload === '' || lines.payload.includes('\0')) return 'the payload is not JSON';
  const leaf = readLeaf(lines.leaf, said);
  if (typeof leaf === 'string') return leaf;
  const decides = said.kind === 'decision';
  return {
    tenant: leaf.tenant,
    kind: said.kind,
    id: leaf.id,
    decisionId: decides ? leaf.id : (leaf.decision_id ?? ''),
    agent: indexText(leaf.agent ?? ''),
    verdict: decides ? (leaf.verdict ?? '') : '',
    terms: searchTerms(said.kind, { ...leaf }),
    at: leaf.at,
    lines,
    ...where,
  };
}

/** The leaf, or why it is none of what the subject says. */
function readLeaf(text: string, said: RecordSubject): Leaf | string {
  const value = parseCanonical(text);
  if (value === undefined) return 'the leaf is not canonical JSON';
  // The word before the dot is one of the families: that is how the kinds are named.
  const family = (said.kind.split('.')[0] ?? '') as keyof typeof CHECKS;
  if (!CHECKS[family].Check(value)) return `the leaf is no ${family}`;
  const leaf = value as unknown as Leaf; // checked just above
  if (leaf.kind !== said.kind) return `the leaf says ${leaf.kind.slice(0, 64)}`;
  const owned = said.tenant === undefined || leaf.tenant === said.tenant;
  return owned ? leaf : 'the leaf names another tenant';
}

/**
 * What the chain is asked to hold: a record that passed every test, or the alert about a message that did not. An alert
 * keeps what it is about in its payload, so that no evidence is lost with the stream entry.
 */
import { randomBytes } from 'node:crypto';

import { CHAINER_SOURCE, type ChainKind, type ChainSource } from '#contracts/chain.ts';
import type { ControlLeaf } from '#contracts/control.ts';
import { type DecisionId, PLATFORM, type TenantId } from '#contracts/ids.ts';
import type { OutcomeLeaf } from '#contracts/outcome.ts';
import { type RecordLines, sealPayload, sha256 } from '#contracts/record.ts';
import { type SearchTerms, searchTerms } from '#contracts/search.ts';

/** A leaf on its way into a chain, with what the row's index columns hold. */
export interface Candidate {
  readonly tenant: string;
  readonly kind: ChainKind;
  readonly id: string;
  /** The decision that it is, or is about; empty for the rest. */
  readonly decisionId: string;
  readonly agent: string;
  readonly verdict: string;
  readonly terms: SearchTerms;
  /** Milliseconds UTC, by its writer. */
  readonly at: number;
  readonly lines: RecordLines;
  readonly source: ChainSource;
  /** Milliseconds UTC when the stream stored it. */
  readonly storedAt: number;
}

/** A part of a stored message that cannot be chained as what it claims to be. */
export interface Refused {
  readonly source: ChainSource;
  readonly storedAt: number;
  /** For the operator; no content of the record. */
  readonly fault: string;
  /** The exact bytes. */
  readonly bytes: Uint8Array;
}

const freshSalt = () => randomBytes(16).toString('hex');

/** The alert about a refused part: in the chain of the platform, once for each position. */
export function alertAbout({ source, storedAt, fault, bytes }: Refused): Candidate {
  const { stream, epoch, sequence, index } = source;
  const position = `${stream}/${epoch}/${sequence}/${index}`;
  return alert({
    action: 'refuse_record',
    id: `refused/${position}`,
    target: position,
    at: storedAt,
    reason: `${fault} (${bytes.length} bytes, ${sha256(bytes)})`,
    content: Buffer.from(bytes).toString('base64'),
  });
}

/** An event of the chainer's own, in the chain of the platform; one of an `id` that is there already is left out. */
export function alert(
  about: Pick<ControlLeaf, 'action' | 'at' | 'id' | 'target'> & {
    readonly reason: string;
    readonly content?: string;
  },
): Candidate {
  const { action, at, id, target, content = '' } = about;
  const sections = { content: JSON.stringify(content) };
  const { payload, commitments } = sealPayload(sections, {}, freshSalt);
  const leaf: ControlLeaf = {
    action,
    at,
    by: 'system:audit-chainer',
    commitments,
    id,
    kind: 'control.alert',
    reason: about.reason.slice(0, 1_000).toWellFormed(),
    target,
    tenant: PLATFORM,
    v: 1,
  };
  return ownCandidate(leaf, { lines: { leaf: JSON.stringify(leaf), payload }, decisionId: '' });
}

/**
 * The end of a forwarded call of which nobody has reported one. Its id is not the decision's own: that is for a report
 * that comes after all, and counts instead of this.
 */
export function unknownOutcome(tenant: TenantId, decisionId: DecisionId): Candidate {
  const { payload, commitments } = sealPayload({ detail: '{}' }, {}, freshSalt);
  const leaf: OutcomeLeaf = {
    at: Date.now(),
    commitments,
    decision_id: decisionId,
    id: `unknown/${decisionId}`,
    kind: 'outcome',
    late: true,
    reported_by: 'chainer',
    status: 'unknown',
    tenant,
    v: 1,
  };
  return ownCandidate(leaf, { lines: { leaf: JSON.stringify(leaf), payload }, decisionId });
}

const ownCandidate = (
  leaf: ControlLeaf | OutcomeLeaf,
  rest: Pick<Candidate, 'lines' | 'decisionId'>,
): Candidate => ({
  tenant: leaf.tenant,
  kind: leaf.kind,
  id: leaf.id,
  agent: '',
  verdict: '',
  terms: searchTerms(leaf.kind, { ...leaf }),
  at: leaf.at,
  source: CHAINER_SOURCE,
  storedAt: leaf.at,
  ...rest,
});

/** The alert about a record whose place in the chain is taken by another one. */
export function alertAboutConflict({ lines, source, storedAt }: Candidate): Candidate {
  const bytes = new TextEncoder().encode(`${lines.leaf}\n${lines.payload}\n`);
  const fault = 'another record has its id or its position';
  return alertAbout({ source, storedAt, fault, bytes });
}

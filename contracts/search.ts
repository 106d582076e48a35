/**
 * What rows of a chain are found by, beside their kind, agent and verdict: taken from the leaf, and kept in an index
 * that can always be made again (migrations/0011_search.sql).
 */
import { indexText } from './chain.ts';

/** Empty where a record has none. */
export interface SearchTerms {
  /** Of a decision the person's pseudonym; of a change or a step of an approval who made it. */
  readonly person: string;
  readonly tool: string;
  readonly upstream: string;
  /** Of a decision its reason, of an outcome its status, of a step of an approval its state, of a change its action. */
  readonly reason: string;
  readonly mode: string;
  /** The approval that it opened, used or is a step of. */
  readonly approval: string;
}

/** The terms of a leaf of this kind. Untrusted: its values may be of any type, and of any length. */
export function searchTerms(kind: string, leaf: Readonly<Record<string, unknown>>): SearchTerms {
  const text = (name: string): string => {
    const value = leaf[name];
    return typeof value === 'string' ? indexText(value) : '';
  };
  const decides = kind === 'decision';
  return {
    person: decides ? text('person') : text('by'),
    tool: text('tool'),
    upstream: text('upstream'),
    reason: text(reasonMember(kind)),
    mode: decides ? text('mode') : '',
    approval: text('approval_id') === '' ? text('resumes') : text('approval_id'),
  };
}

function reasonMember(kind: string): string {
  if (kind === 'decision') return 'reason';
  if (kind === 'outcome') return 'status';
  return kind.startsWith('approval.') ? 'state' : 'action';
}

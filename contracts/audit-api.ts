/** The part of the admin API that reads the chain. Rows are shown as their hashed entries say, never as an index does. */
import { Type, type Static } from 'typebox';

import { ChainSource } from './chain.ts';
import { type Operation, TENANT } from './operation.ts';

const Hash = Type.String({ description: '"sha256:" and 64 hex digits.' });

/** Where a chain ends. */
export const AuditHead = Type.Object({ sequence: Type.Integer({ minimum: 0 }), hash: Hash });
export type AuditHead = Static<typeof AuditHead>;

/** One row of a chain for people and scripts. */
export const AuditRow = Type.Object({
  sequence: Type.Integer(),
  kind: Type.String({ description: 'decision, outcome, control.policy and so on.' }),
  record_id: Type.String(),
  decision_id: Type.String({ description: 'The decision that it is, or is about; else empty.' }),
  verdict: Type.String({ description: 'Of a decision; else empty.' }),
  agent: Type.String({ description: 'Of a decision; else empty.' }),
  at: Type.String({ description: "RFC 3339, by the record's writer." }),
  hash: Hash,
  source: ChainSource,
  leaf: Type.Record(Type.String(), Type.Unknown(), { description: 'The record itself.' }),
  index_differs: Type.Optional(
    Type.Literal(true, {
      description: 'The columns that rows are found by say something else than the row.',
    }),
  ),
});
export type AuditRow = Static<typeof AuditRow>;

/** One line of the stream of whole rows. `payload` is null where there is none, absent where it was not asked for. */
export interface AuditLine {
  readonly entry: string;
  readonly hash: string;
  readonly payload?: string | null;
  /** What keeps its payload from being the one of its leaf, by the server's own look; '' = nothing. Where asked for. */
  readonly payload_fault?: string;
  /** An order has erased its payload. */
  readonly erased?: true;
  readonly index_differs?: true;
}

/** The last line: without it the stream broke off. */
export interface AuditEnd {
  readonly head: AuditHead;
}

/** A decision with everything that was recorded about it. */
export const AuditRecord = Type.Object({
  ...AuditRow.properties,
  payload: Type.Union([Type.String(), Type.Null()], {
    description:
      'Text of the payload, null where there is none. With `masked`, a member of that name lists the sections in which ' +
      'values are masked; all others are exact, with their salts.',
  }),
  masked: Type.Boolean(),
  erased: Type.Optional(
    Type.Object(
      { at: Type.String(), by_order: Type.String() },
      { description: 'When its payload was erased, and the event that ordered it.' },
    ),
  ),
  about: Type.Array(AuditRow, { description: 'What was recorded about it, such as its outcome.' }),
});
export type AuditRecord = Static<typeof AuditRecord>;

/** A decision in plain words, for a person who has to act on it now. */
export const Explanation = Type.Object({
  decision_id: Type.String(),
  verdict: Type.String(),
  reason: Type.String(),
  headline: Type.String({ description: 'What was decided and why, in a sentence.' }),
  sections: Type.Array(
    Type.Object({
      title: Type.String(),
      lines: Type.Array(Type.String()),
    }),
    {
      description:
        'Who asked, what, which check decided, facts, policy, mode, approval, what happened afterwards, what would ' +
        'help, where it is recorded. Values of arguments and facts are not in it.',
    },
  ),
});
export type Explanation = Static<typeof Explanation>;

/** What a check of the chain by the server itself found. Whoever does not trust it verifies the rows. */
export const AuditVerdict = Type.Object({
  intact: Type.Boolean(),
  /** First and last sequence that were checked, 0 for none. */
  from: Type.Integer(),
  through: Type.Integer(),
  head: AuditHead,
  finding: Type.Optional(Type.Object({ sequence: Type.Integer(), fault: Type.String() })),
});
export type AuditVerdict = Static<typeof AuditVerdict>;

const read = { method: 'GET', status: 200, body: undefined } as const;

export const AUDIT_OPERATIONS = {
  listAudit: {
    ...read,
    path: `${TENANT}/audit`,
    role: 'viewer',
    summary:
      'Rows of the chain that fit all conditions. With `after` in the order of the chain from behind that sequence, ' +
      'else the newest first by time; `next` of an answer, given as `cursor`, goes on from there. A page that looks ' +
      'long for what is rare comes with fewer rows, even none, and with `more`. Kind `control` or `approval` means ' +
      'all kinds that begin with it; `person` is a pseudonym or an operator; `reason` is also the status of an ' +
      'outcome, the state of an approval, the action of a change; `since` and `until` are RFC 3339; `before` is the ' +
      'first sequence that no longer fits.',
    query: [
      'kind',
      'verdict',
      'agent',
      'person',
      'tool',
      'upstream',
      'reason',
      'mode',
      'approval',
      'decision_id',
      'since',
      'until',
      'before',
      'after',
      'cursor',
      'limit',
    ],
    answer: Type.Object({
      items: Type.Array(AuditRow),
      head: AuditHead,
      more: Type.Boolean({ description: 'There may be rows beyond the last item.' }),
      next: Type.Optional(Type.String({ description: 'Opaque; where the next page begins.' })),
    }),
  },
  streamAudit: {
    ...read,
    path: `${TENANT}/audit/rows`,
    role: 'viewer',
    summary:
      'Whole rows from behind `after` up to the head, one JSON document a line, the head last. ' +
      '`payloads=true` adds the payloads, masked by the rules of the tenant, and takes the role "operator"; `plain=true` ' +
      'with a reason in `why` gives them as recorded. Reading payloads is an event in the chain. `check=true` gives none and says of each ' +
      'whether it is what its leaf commits to, or erased.',
    query: ['after', 'check', 'payloads', 'plain', 'why'],
    answer: Type.Unsafe<Response>({ type: 'string' }),
    media: 'application/x-ndjson',
  },
  verifyAudit: {
    ...read,
    path: `${TENANT}/audit/verify`,
    role: 'viewer',
    summary: 'A quick check by the server itself of the newest rows, `last` of them (10,000).',
    query: ['last'],
    answer: AuditVerdict,
  },
  showAudit: {
    ...read,
    path: `${TENANT}/audit/{decision}`,
    role: 'operator',
    summary:
      'One decision with its payload, masked by the rules of the tenant, and what was recorded about it. `plain=true` ' +
      'with a reason in `why` gives the payload as recorded. Reading it is an event in the chain.',
    query: ['plain', 'why'],
    answer: AuditRecord,
  },
  explainAudit: {
    ...read,
    path: `${TENANT}/audit/{decision}/explain`,
    role: 'operator',
    summary:
      'One decision in plain words: which check decided, on which facts, under which policy, who delegated, who ' +
      'approved, what the mode changed, what happened afterwards, what would help.',
    query: [],
    answer: Explanation,
  },
  getAuditBundle: {
    ...read,
    path: `${TENANT}/audit/{decision}/bundles/{digest}`,
    role: 'operator',
    summary: 'A compiled policy that took part in this decision, byte for byte.',
    query: [],
    answer: Type.Unsafe<Response>({ type: 'object' }),
  },
} as const satisfies Readonly<Record<string, Operation>>;

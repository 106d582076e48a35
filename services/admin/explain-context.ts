/** What else the chain says about a decision: who minted, activated, stopped, approved, and what became of it. */
import type { AuditRow } from '#contracts/audit-api.ts';
import { parseRevision } from '#contracts/ids.ts';

import type { AuditReads } from './audit-reads.ts';
import type { Wanted } from './audit-search.ts';
import { memberOf, type Text, textOf } from './explain-text.ts';

/** Rows that an explanation draws on beside the decision itself. Undefined = the tenant's chain does not say. */
export interface ExplainContext {
  /** Outcome and all else about this decision. */
  readonly about: readonly AuditRow[];
  /** Steps of its approval, and the decisions that it held or released, in order. */
  readonly approval: readonly AuditRow[];
  readonly minted: AuditRow | undefined;
  readonly activated: AuditRow | undefined;
  /** The last change that the worker had seen. */
  readonly factsAsOf: AuditRow | undefined;
  /** The kill switch, or the revocation. */
  readonly stopped: AuditRow | undefined;
  readonly modeSet: AuditRow | undefined;
  readonly exception: AuditRow | undefined;
}

/** How many changes of a kind are looked through, the newest first. */
const CHANGES_MAX = 500;
const STEPS_MAX = 200;

export async function explainContext(
  reads: AuditReads,
  tenant: string,
  {
    row,
    about,
    detail,
  }: {
    readonly row: AuditRow;
    readonly about: readonly AuditRow[];
    /** The worker's words for the operator, '' where they are erased. */
    readonly detail: string;
  },
): Promise<ExplainContext> {
  const text = textOf(row);
  const changes = new Changes(reads, { tenant, until: Date.parse(row.at) + 1 });
  const approval = text('approval_id') === '' ? text('resumes') : text('approval_id');
  const root = memberOf(row.leaf['capability'], 'root');
  const reason = text('reason');
  const exception = text('exception');
  return {
    about,
    approval:
      approval === '' ? [] : (await found(reads, tenant, { approval }, STEPS_MAX)).toReversed(),
    minted: await changes.last('capability', (change) => root !== '' && change('target') === root),
    activated: await bySource(reads, tenant, text('policy_revision')),
    factsAsOf: await bySource(reads, tenant, text('facts_revision')),
    stopped:
      reason === 'capability.killed'
        ? await changes.last('switch', (change) => engaged(change, row, detail))
        : reason === 'capability.revoked'
          ? await changes.last('revocation', () => true)
          : undefined,
    modeSet: await changes.last('mode', (change) => change('target') === text('agent_class')),
    exception:
      exception === ''
        ? undefined
        : await changes.last('exception', (change) => change('target') === exception),
  };
}

/** Whether this change engaged a switch that may have stopped the call. `detail` ends with the scope. */
function engaged(change: Text, row: AuditRow, detail: string): boolean {
  const [scope = '', ...rest] = change('target').split(':');
  if (change('action') !== 'engage' || (detail !== '' && !detail.endsWith(` ${scope}`)))
    return false;
  const text = textOf(row);
  // Persons and sessions are named otherwise in the leaf; the newest of those counts.
  return (
    !['agent', 'tool', 'upstream', 'workflow'].includes(scope) || text(scope) === rest.join(':')
  );
}

class Changes {
  readonly #reads: AuditReads;
  readonly #tenant: string;
  readonly #until: number;

  constructor(reads: AuditReads, { tenant, until }: { tenant: string; until: number }) {
    this.#reads = reads;
    this.#tenant = tenant;
    this.#until = until;
  }

  /** The newest change of a kind before the decision that fits. */
  async last(kind: string, fits: (change: Text) => boolean): Promise<AuditRow | undefined> {
    const wanted = { kind: `control.${kind}`, until: this.#until };
    const rows = await found(this.#reads, this.#tenant, wanted, CHANGES_MAX);
    return rows.find((row) => fits(textOf(row)));
  }
}

/** The newest first. */
async function found(
  reads: AuditReads,
  tenant: string,
  wanted: Wanted,
  limit: number,
): Promise<AuditRow[]> {
  const { rows } = await reads.search(tenant, { wanted, from: FROM_THE_END, limit });
  return rows.map(({ row }) => row);
}

const FROM_THE_END = {
  order: 'newest',
  at: Number.MAX_SAFE_INTEGER,
  sequence: Number.MAX_SAFE_INTEGER,
} as const;

/** The change that made a revision. */
async function bySource(
  reads: AuditReads,
  tenant: string,
  revision: string,
): Promise<AuditRow | undefined> {
  const parsed = parseRevision(revision);
  if (parsed === undefined) return undefined;
  const row = await reads.bySource(tenant, { stream: 'CONTROL', ...parsed });
  return row?.row;
}

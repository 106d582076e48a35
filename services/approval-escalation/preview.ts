/**
 * What a person sees of a held call before deciding it: made here, from the bytes that will run, for every surface. Its
 * digest is what an approval names, so nobody approves what was not shown in full.
 */
import type pg from 'pg';

import { bodyText, parseEntry } from '#contracts/chain.ts';
import type { Operator } from '#contracts/control.ts';
import type { ApprovalItem, ApprovalPreview, EarlierCall } from '#contracts/held.ts';
import type { TenantId } from '#contracts/ids.ts';
import { asJson, canonical } from '#contracts/json.ts';
import { sha256 } from '#contracts/record.ts';
import { inTransaction } from '#host/database.ts';

import { editsOf, requesterOf } from './edit.ts';
import { readLeaf, readPayload } from './hold.ts';
import { asksForItself, peopleOf } from './may-decide.ts';
import { usesOf } from './store-lists.ts';
import type { Row } from './store.ts';

/** One line of a list. */
export function itemOf(row: Row): ApprovalItem {
  const { progress, state, step, position, uses, used } = row;
  const { summary, plan, votes, acknowledgedBy, endedBy, reason, grant, grantOf } = progress;
  return {
    ...summary,
    state,
    step,
    position,
    uses,
    used,
    plan,
    votes: [...votes],
    acknowledged_by: acknowledgedBy,
    ended_by: endedBy,
    reason,
    ...(grant === undefined ? {} : { grant: { ...grant, of: grantOf ?? summary.approval_id } }),
  };
}

/** Everything about a held call; `missing` names what could not be shown. */
export async function previewOf(
  pool: pg.Pool,
  row: Row,
  operators: ReadonlyMap<string, Operator>,
): Promise<ApprovalPreview> {
  const earlier = await earlierCalls(pool, row).catch(() => undefined);
  const edits = await editsOf(pool, row);
  const requester = requesterOf(row, edits);
  const people = peopleOf(operators);
  const call = callOf(row);
  const { facts, progress } = row;
  const preview = {
    ...itemOf(row),
    ...(call ?? NOT_SHOWN),
    ...(progress.edit === undefined ? {} : { edited: progress.edit }),
    edit_of: [...edits],
    decision_id: facts.decisionId,
    policies: facts.policies.map(({ role, digest }) => ({ role, digest })),
    actors: [...facts.actors],
    workflow: facts.workflow,
    session: facts.session,
    task: facts.task,
    earlier: earlier ?? [],
    asked: askedOf(progress),
    releases: row.used === 0 ? [] : await usesOf(pool, row),
    requesters: [...operators.values()]
      .filter((operator) => asksForItself(people(operator), requester))
      .map(({ id }) => id),
    missing: [
      ...(call === undefined
        ? [row.erased ? 'the call itself: it was erased' : 'the call itself']
        : []),
      ...(earlier === undefined ? ['what this agent did before'] : []),
    ],
  };
  return { ...preview, shown: preview.missing.length === 0 ? digestOf(row, preview) : '' };
}

type CallShown = Pick<
  ApprovalPreview,
  'arguments' | 'definition_hash' | 'held_because' | 'purpose' | 'declared_by'
>;
const NOT_SHOWN: CallShown = {
  arguments: '',
  definition_hash: '',
  held_because: { reason: '', policy_reason: '', message: '' },
  purpose: '',
  declared_by: '',
};

/** The call as its record proves it, undefined where it does not. */
function callOf({ lines }: Row): CallShown | undefined {
  const leaf = readLeaf(lines.leaf);
  const payload = leaf && readPayload(leaf, lines.payload);
  if (leaf === undefined || payload === undefined) return undefined;
  const { evidence, input } = payload.sections;
  const { reason, policy_reason: policyReason } = leaf;
  return {
    arguments: canonical(input.call.arguments),
    definition_hash: evidence.definition_hash,
    held_because: { reason, policy_reason: policyReason, message: evidence.message },
    purpose: input.intent.purpose,
    declared_by: input.intent.declared_by,
  };
}

const askedOf = ({ told, plan }: Row['progress']): ApprovalPreview['asked'] =>
  told.map((at, index) => ({
    tier: plan.tiers[index]?.name ?? '',
    channels: [...(plan.tiers[index]?.channels ?? [])],
    at,
  }));

/** Over what stays the same while people decide: the call, its plan, its time, what came before it. */
function digestOf({ binding }: Row, preview: Omit<ApprovalPreview, 'shown'>): string {
  const {
    state: _state,
    step: _step,
    used: _used,
    votes: _votes,
    acknowledged_by: _acknowledged,
    ended_by: _ended,
    reason: _reason,
    asked: _asked,
    edit_of: _edits,
    releases: _releases,
    requesters: _requesters,
    missing: _missing,
    ...shown
  } = preview;
  return sha256(canonical(asJson({ ...shown, binding })));
}

const EARLIER_MAX = 20;
/** Rows of the tenant's chain that are looked through. */
const ROWS_MAX = 2_000;

/**
 * The calls of the same agent, of the same session where it has one, before this one, newest first; undefined while
 * the chain does not have this one yet, for then it may lack some before it too.
 */
async function earlierCalls(pool: pg.Pool, row: Row): Promise<EarlierCall[] | undefined> {
  const { tenant, facts, progress } = row;
  const entries = await inTenant(pool, tenant, async (client) => {
    const own = await client.query<{ sequence: number }>(
      `select sequence from chain_rows where tenant = $1 and kind = 'decision' and record_id = $2`,
      [tenant, facts.decisionId],
    );
    const sequence = own.rows[0]?.sequence;
    if (sequence === undefined) return undefined;
    const { rows } = await client.query<{ entry: string }>(
      `select entry from chain_rows where tenant = $1 and sequence < $2 and sequence >= $3
       and kind = 'decision' and agent = $4 order by sequence desc`,
      [tenant, sequence, sequence - ROWS_MAX, progress.summary.agent],
    );
    return rows;
  });
  if (entries === undefined) return undefined;
  const earlier: EarlierCall[] = [];
  for (const { entry } of entries) {
    const leaf = parseEntry(entry) === undefined ? undefined : readLeaf(bodyText(entry));
    if (leaf === undefined || (facts.session !== '' && leaf.session !== facts.session)) continue;
    const { id, at, tool, upstream, verdict, reason, labels } = leaf;
    earlier.push({ decision_id: id, at, tool, upstream, verdict, reason, labels });
    if (earlier.length === EARLIER_MAX) break;
  }
  return earlier;
}

/** Reads of the chain see one tenant: the database refuses the rest. */
export const inTenant = <T>(
  pool: pg.Pool,
  tenant: TenantId,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> =>
  inTransaction(pool, async (client) => {
    await client.query("select set_config('app.tenant', $1, true)", [tenant]);
    return work(client);
  });

/**
 * Erases what is kept of held calls whose payload an order erased (docs/privacy.md): one that is still open ends first, for
 * nobody could be shown any more what they approve. Safe to repeat; stopped anywhere the next pass goes on.
 */
import { type Progress, SYSTEM } from './reduce.ts';
import { type StepParts, take } from './steps.ts';
import { eraseContent, findByHandle, type Place, type Row } from './store.ts';

const PASS_MAX = 100;
const ERASED = { is: 'cancel', ...SYSTEM, reason: 'its content was erased by an order' } as const;

/** One pass over what the audit chainer has erased. */
export async function eraseHeld(parts: StepParts): Promise<void> {
  const { pool, log } = parts;
  const { rows } = await pool.query<Place & { readonly handle: string }>(
    `select h.tenant, h.handle, h.id from erased_holds e
     join approval_handles h on h.tenant = e.tenant and h.handle = e.approval
     where not e.done limit ${PASS_MAX}`,
  );
  for (const { tenant, handle, id } of rows) {
    try {
      // The copy is of the decision that was held first; a repeat of the call only points there.
      if (handle === id) await eraseCall(parts, { tenant, id });
      await pool.query('update erased_holds set done = true where tenant = $1 and approval = $2', [
        tenant,
        handle,
      ]);
    } catch (error) {
      log.warn({ err: error, approval: id }, 'a held call is not erased yet');
    }
  }
}

/** With the grants that were given with it. @throws where its last step is not told yet */
async function eraseCall(parts: StepParts, { tenant, id }: Place): Promise<void> {
  const { rows } = await parts.pool.query<Place>(
    'select tenant, id from approvals where tenant = $1 and (id = $2 or grant_of = $2)',
    [tenant, id],
  );
  for (const place of rows) {
    const row = await endedRow(parts, place);
    if (row === undefined) continue;
    // What is not told yet is told from here, whole.
    await parts.tell(place);
    await eraseContent(parts, row, { progress: bare(row.progress), facts: bareFacts(row.facts) });
    // And its entry, without the words.
    await parts.tell(place);
  }
}

async function endedRow(parts: StepParts, place: Place): Promise<Row | undefined> {
  const row = await findByHandle(parts, place);
  if (row === undefined) return undefined;
  const open = row.state === 'pending' || (row.state === 'approved' && row.used < row.uses);
  if (!open) return row;
  await take(parts, place, ERASED);
  return findByHandle(parts, place);
}

/** What the leaves of its events say as well; a reason only where it is a text of ours. */
function bare({ edit: _edit, editOf: _of, grant: _grant, ...progress }: Progress): Progress {
  const { summary, endedBy, reason } = progress;
  return {
    ...progress,
    summary: { ...summary, person: '', effect: '' },
    reason: endedBy === SYSTEM.by ? reason : '',
  };
}

const bareFacts = ({ decisionId, policies, policyRevision, factsRevision }: Row['facts']) => ({
  decisionId,
  policies,
  policyRevision,
  factsRevision,
  principal: '',
  requester: { issuer: '', subjects: [] },
  actors: [],
  workflow: '',
  session: '',
  task: '',
});

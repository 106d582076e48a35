/**
 * The one function through which a person decides a held call, whatever surface they sit at: command line, page, chat
 * or API all end here. It asks anew, at this moment, who the person is and what they may, and what they saw.
 */
import type { Operator } from '#contracts/control.ts';
import type { DecisionAnswer, HeldAsk, HeldFault, HeldReply } from '#contracts/held.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { ControlView } from '#host/control-view.ts';

import { editsOf, readEdit, requesterOf } from './edit.ts';
import { grantFault } from './grant.ts';
import { whyNot } from './may-decide.ts';
import { previewOf } from './preview.ts';
import { progressOf, type Reduced, type Step } from './reduce.ts';
import { type StepParts, take } from './steps.ts';
import { findByHandle, type Row } from './store.ts';

export interface DecideParts extends StepParts {
  readonly operators: ReadonlyMap<string, Operator>;
  readonly view: Pick<ControlView, 'get' | 'clockFault'>;
  /** Names calls. */
  readonly key: Uint8Array;
}

type Decision = Extract<HeldAsk, { ask: 'decide' }>;
type Withdrawal = Extract<HeldAsk, { ask: 'withdraw' }>;

/** Idempotent: the same decision of the same person again changes nothing and is answered alike. */
export async function decideHeld(
  parts: DecideParts,
  tenant: TenantId,
  decision: Decision,
): Promise<HeldReply<'decide'>> {
  // Whether a call has expired is not known then.
  const detail = parts.view.clockFault();
  if (detail !== '') return { ok: false, fault: 'unavailable', detail };
  const place = { tenant, id: decision.approval };
  const step = await stepOf(parts, tenant, decision);
  if ('fault' in step) return { ok: false, ...step };
  const took = await take<HeldFault>(parts, place, step, (row) => refusalOf(parts, row, decision));
  return replyTo(took);
}

/** Why this person may not decide this, now; undefined when they may. */
async function refusalOf(
  { pool, operators, now }: DecideParts,
  row: Row,
  { step, by, shown }: Decision,
): Promise<HeldFault | undefined> {
  const requester = requesterOf(row, await editsOf(pool, row));
  const refused = whyNot({ step, by, at: now() }, operators, { ...row, requester });
  if (refused !== undefined || (step !== 'approve' && step !== 'edit')) return refused;
  // A decision that comes again changes nothing; what it changed before is in the preview now.
  const again =
    step === 'edit' ? row.state === 'edited' : row.progress.votes.some((vote) => vote.by === by.id);
  if (again) return undefined;
  const preview = await previewOf(pool, row, operators);
  return preview.shown === '' || preview.shown !== shown ? 'incomplete' : undefined;
}

/** The agent itself does not want the call any more. Only its own principal may say so. */
export async function withdrawHeld(
  parts: StepParts,
  tenant: TenantId,
  { approval, principal }: Withdrawal,
): Promise<HeldReply<'withdraw'>> {
  const step = {
    is: 'cancel',
    by: 'agent',
    via: 'agent',
    reason: 'withdrawn by the agent',
  } as const;
  const took = await take<HeldFault>(parts, { tenant, id: approval }, step, async (row) =>
    row.facts.principal === principal ? undefined : 'not_found',
  );
  return replyTo(took);
}

type Malformed = Omit<Extract<HeldReply, { ok: false }>, 'ok'>;

/** The step that a decision asks for, or why it cannot be one. */
async function stepOf(
  parts: DecideParts,
  tenant: TenantId,
  { approval, step, by, via, reason, ...asked }: Decision,
): Promise<Step | Malformed> {
  const actor = { by: by.id, via };
  if (step === 'revoke') return { is: 'cancel', ...actor, reason };
  if (step === 'deny' || step === 'cancel') return { is: step, ...actor, reason };
  if (step === 'acknowledge') return { is: step, ...actor };
  if (step === 'approve' && asked.grant === undefined) return { is: step, ...actor };
  const row = await findByHandle(parts, { tenant, id: approval });
  if (row === undefined) return { fault: 'not_found', detail: '' };
  const changes = changesOf(parts, row, asked);
  if ('fault' in changes) return { fault: 'impossible', detail: changes.fault };
  if ('call' in changes) return { is: 'edit', ...actor, reason, ...changes };
  return { is: 'approve', ...actor, ...changes };
}

/** What a decision says beside yes or no, or why that cannot be. */
function changesOf(
  parts: DecideParts,
  row: Row,
  { arguments: text = '', grant }: Pick<Decision, 'arguments' | 'grant'>,
) {
  if (grant === undefined) return readEdit(row, text, parts);
  const fault = grantFault(row, grant);
  return fault === '' ? { grant } : { fault };
}

function replyTo(
  took: Awaited<ReturnType<typeof take<HeldFault>>>,
): { readonly ok: true; readonly value: DecisionAnswer } | Extract<HeldReply, { ok: false }> {
  if (took === undefined) return { ok: false, fault: 'not_found', detail: '' };
  if ('refusal' in took) return { ok: false, fault: took.refusal, detail: '' };
  const fault = FAULTS[took.became];
  if (fault !== undefined) return { ok: false, fault, detail: detailOf(took.row) };
  return { ok: true, value: answerOf(took.row) };
}

const FAULTS: Readonly<Record<Reduced['is'], HeldFault | undefined>> = {
  changed: undefined,
  nothing: undefined,
  ended: 'ended',
  voted: 'voted',
  differs: 'incomplete',
};

const detailOf = ({ state, progress }: Row): string =>
  state === 'pending'
    ? ''
    : `This call does not wait any more: ${state}${progress.endedBy === '' ? '' : ` by ${progress.endedBy}`}.`;

function answerOf(row: Row): DecisionAnswer {
  return { approval_id: row.progress.summary.approval_id, state: row.state, ...progressOf(row) };
}

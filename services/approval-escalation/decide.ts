/**
 * The one function through which a person decides a held call, whatever surface they sit at: command line, page, chat
 * or API all end here. It asks anew, at this moment, who the person is and what they may, and what they saw.
 */
import type { Operator } from '#contracts/control.ts';
import type { DecisionAnswer, HeldAsk, HeldFault, HeldReply } from '#contracts/held.ts';
import type { TenantId } from '#contracts/ids.ts';

import { whyNot } from './may-decide.ts';
import { previewOf } from './preview.ts';
import { progressOf, type Reduced, type Step } from './reduce.ts';
import { type StepParts, take } from './steps.ts';
import type { Row } from './store.ts';

export interface DecideParts extends StepParts {
  readonly operators: ReadonlyMap<string, Operator>;
}

type Decision = Extract<HeldAsk, { ask: 'decide' }>;
type Withdrawal = Extract<HeldAsk, { ask: 'withdraw' }>;

/** Idempotent: the same decision of the same person again changes nothing and is answered alike. */
export async function decideHeld(
  parts: DecideParts,
  tenant: TenantId,
  decision: Decision,
): Promise<HeldReply<'decide'>> {
  const place = { tenant, id: decision.approval };
  const took = await take<HeldFault>(parts, place, stepOf(decision), async (row) => {
    const asked = { step: decision.step, by: decision.by, at: parts.now() };
    const held = { ...row, requester: row.facts.requester };
    const refused = whyNot(asked, parts.operators.get(decision.by.id), held);
    if (refused !== undefined || decision.step !== 'approve') return refused;
    const { shown } = await previewOf(parts.pool, row, parts.operators);
    return shown === '' || shown !== decision.shown ? 'incomplete' : undefined;
  });
  return replyTo(took);
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

function stepOf({ step, by, via, reason }: Decision): Step {
  const actor = { by: by.id, via };
  return step === 'deny' || step === 'cancel'
    ? { is: step, ...actor, reason }
    : { is: step, ...actor };
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
};

const detailOf = ({ state, progress }: Row): string =>
  state === 'pending'
    ? ''
    : `This call does not wait any more: ${state}${progress.endedBy === '' ? '' : ` by ${progress.endedBy}`}.`;

function answerOf(row: Row): DecisionAnswer {
  return { approval_id: row.progress.summary.approval_id, state: row.state, ...progressOf(row) };
}

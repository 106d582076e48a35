/** The record of one step: leaf and payload, canonical, made before anything is stored so that both are stored together. */
import { randomBytes } from 'node:crypto';

import type { ApprovalEventValue, ApprovalLeaf } from '#contracts/approval.ts';
import { asApprovalId, type DecisionId, type TenantId, uuid7 } from '#contracts/ids.ts';
import { asJson, canonical } from '#contracts/json.ts';
import { sealPayload } from '#contracts/record.ts';
import type { ApprovalEvent } from '#contracts/subjects.ts';

import { type Approval, type Happened, type Progress, progressOf } from './reduce.ts';
import type { EventRow } from './store.ts';

const SALT_BYTES = 16;
const ID_BYTES = 10;

/** What only some events say. */
function beside(
  { edit, editOf, grant, grantOf }: Progress,
  event: ApprovalEvent,
  id: string,
): Pick<ApprovalEventValue, 'edit' | 'edit_of' | 'grant'> {
  switch (event) {
    case 'edited':
      return edit === undefined ? {} : { edit };
    case 'held':
      return editOf === undefined ? {} : { edit_of: [...editOf] };
    case 'voted':
    case 'approved':
    case 'granted':
      return grant === undefined ? {} : { grant: { ...grant, of: grantOf ?? asApprovalId(id) } };
    default:
      return {};
  }
}

/** The event that brought a held call to where it is now. @param at milliseconds UTC */
export function eventOf(
  now: Approval,
  of: { readonly tenant: TenantId; readonly id: string; readonly decisionId: DecisionId },
  { event, actor, tier, use }: Happened,
  at: number,
): EventRow {
  const { plan, summary, reason } = now.progress;
  const told = tier === undefined ? undefined : plan.tiers[tier];
  const value: ApprovalEventValue = {
    progress: progressOf(now),
    reason,
    route: plan.route,
    summary,
    ...beside(now.progress, event, of.id),
    tier: told === undefined || tier === undefined ? null : { index: tier, ...told },
    use: use ?? null,
  };
  const { payload, commitments } = sealPayload({ value: canonical(asJson(value)) }, {}, () =>
    randomBytes(SALT_BYTES).toString('hex'),
  );
  const leaf: ApprovalLeaf = {
    approval_id: asApprovalId(of.id),
    at,
    by: actor.by,
    commitments,
    decision_id: of.decisionId,
    id: uuid7(at, randomBytes(ID_BYTES)),
    kind: `approval.${event}`,
    state: now.state,
    step: now.step,
    tenant: of.tenant,
    v: 1,
    via: actor.via,
  };
  return { step: now.step, event, leaf: canonical(leaf), payload };
}

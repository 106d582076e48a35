/** Routes by which a signed-in person decides. What they may and what they saw is asked anew by approval-escalation. */
import type { FastifyInstance } from 'fastify';

import type { AdminErrorCode } from '#contracts/admin-errors.ts';
import { EDIT_CHARS_MAX } from '#contracts/held.ts';
import { asApprovalId } from '#contracts/ids.ts';

import { decideHeld } from '../approvals.ts';
import { AdminError } from '../errors.ts';
import { authorize } from '../operators.ts';
import type { Seat } from '../sign-in/desk.ts';
import { approvalPage } from './approval-page.ts';
import { PAGE_STEPS, type PageStep } from './decision-view.ts';
import { send } from './layout.ts';
import { formOf } from './requests.ts';
import { type OneCall, type PageParts, placeOf, seated } from './seat.ts';

/** Refusals of a decision that are told above the call as it is now. */
const TOLD_ON_THE_PAGE: ReadonlySet<AdminErrorCode> = new Set<AdminErrorCode>([
  'approval.ended',
  'approval.not_approver',
  'approval.self',
  'approval.voted',
  'approval.incomplete',
  'approval.impossible',
  'approval.step_up',
  'sign_in.code',
  'sign_in.wait',
]);

export function decisionRoutes(pages: FastifyInstance, parts: PageParts): void {
  const { ask, place } = parts;
  const decide = decideHeld(ask);
  for (const [step, { role }] of Object.entries(PAGE_STEPS)) {
    pages.post<OneCall>(`/approvals/:tenant/:id/${step}`, async (request, reply) => {
      const form = formOf(request, place);
      const seat = await seated(parts, request, form);
      const { tenant, id } = placeOf(request.params);
      authorize(seat.operator, { role, tenant });
      const given = fieldsOf(form);
      const decision = {
        ...given,
        tenant,
        approval: id,
        step: step as PageStep, // a key of the table
        operator: seat.operator,
        via: 'page',
      } as const;
      try {
        await decide({ ...decision, steppedUpAt: await steppedUp(parts, seat, form) });
      } catch (error) {
        if (!(error instanceof AdminError) || !TOLD_ON_THE_PAGE.has(error.code)) throw error;
        const preview = await ask<'show'>(tenant, { ask: 'show', approval: asApprovalId(id) });
        reply.code(error.status);
        return send(reply, approvalPage(parts, { preview, seat, error, draft: given.arguments }));
      }
      return reply.redirect(`/approvals/${tenant}/${id}`, 303);
    });
  }
}

/** untrusted: the fields of a decision. What is longer than it can be is cut, and does not fit then. */
function fieldsOf(form: URLSearchParams) {
  const changed = form.get('arguments');
  return {
    shown: (form.get('shown') ?? '').slice(0, 128),
    reason: (form.get('reason') ?? '').trim().toWellFormed().slice(0, 1_000),
    ...(changed === null ? {} : { arguments: changed.slice(0, EDIT_CHARS_MAX) }),
  };
}

/** When the person proved themselves last: now, where the form has a code. @throws AdminError sign_in.* */
async function steppedUp(
  { desk }: PageParts,
  { session, operator }: Seat,
  form: URLSearchParams,
): Promise<number> {
  const code = form.get('code') ?? '';
  return code === ''
    ? session.steppedUpAt
    : desk.stepUp(operator.id, code.slice(0, 16), session.id);
}

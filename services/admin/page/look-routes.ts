/** Routes that only look: what waits and what ended lately, and one held call. */
import type { FastifyInstance } from 'fastify';

import { APPROVAL_OPERATIONS } from '#contracts/approval-api.ts';
import { asApprovalId, parseTenantId } from '#contracts/ids.ts';

import { AdminError } from '../errors.ts';
import { authorize, seesTenant } from '../operators.ts';
import { tenantsOf } from '../tenants.ts';
import { approvalPage } from './approval-page.ts';
import { send } from './layout.ts';
import { listView } from './list-view.ts';
import { knownForm, one, type OneCall, type PageParts, placeOf, seated, viewerOf } from './seat.ts';

/** Tenants whose requests stand in one list. */
const TENANTS_MAX = 16;
const LISTED_MAX = 50;
const ENDED_MAX = 10;

export function lookRoutes(pages: FastifyInstance, parts: PageParts): void {
  const { ask, view } = parts;
  pages.get<{ Querystring: { tenant?: unknown } }>('/approvals', async (request, reply) => {
    const seat = await seated(parts, request);
    const all = tenantsOf(view).filter((tenant) => seesTenant(seat.operator, tenant));
    const wanted = parseTenantId(one(request.query.tenant));
    const tenants = wanted === undefined ? all.slice(0, TENANTS_MAX) : [wanted];
    for (const tenant of tenants) {
      authorize(seat.operator, { role: APPROVAL_OPERATIONS.listApprovals.role, tenant });
    }
    const listed = async (state: 'pending' | '') =>
      Promise.all(
        tenants.map((tenant) =>
          ask<'list'>(tenant, { ask: 'list', state, limit: LISTED_MAX, before: 0 }),
        ),
      );
    const [pending, lately] = await Promise.all([listed('pending'), listed('')]);
    const ended = lately
      .flatMap(({ items }) => items)
      .filter(({ state }) => state !== 'pending')
      .toSorted((one, other) => other.position - one.position);
    const body = listView({
      pending: pending.flatMap(({ items }) => items),
      ended: ended.slice(0, ENDED_MAX),
      more: pending.some(({ more }) => more),
      tenants,
      rest: all.filter((tenant) => !tenants.includes(tenant)),
      at: Date.now(),
    });
    return send(reply, { title: 'Requests for approval', body, viewer: viewerOf(parts, seat) });
  });
  // By its id alone, which is all that a person may have been told.
  pages.get<{ Params: { id: string } }>('/approvals/:id', async (request, reply) => {
    const seat = await seated(parts, request);
    const id = knownForm(request.params.id);
    for (const tenant of tenantsOf(view).filter((known) => seesTenant(seat.operator, known))) {
      const found = await ask<'show'>(tenant, { ask: 'show', approval: asApprovalId(id) }).catch(
        notFound,
      );
      if (found !== undefined) return reply.redirect(`/approvals/${tenant}/${id}`, 303);
    }
    throw new AdminError('approval.not_found');
  });
  pages.get<OneCall>('/approvals/:tenant/:id', async (request, reply) => {
    const seat = await seated(parts, request);
    const { tenant, id } = placeOf(request.params);
    authorize(seat.operator, { role: APPROVAL_OPERATIONS.getApproval.role, tenant });
    const preview = await ask<'show'>(tenant, { ask: 'show', approval: asApprovalId(id) });
    return send(reply, approvalPage(parts, { preview, seat }));
  });
}

function notFound(error: unknown): undefined {
  if (!(error instanceof AdminError) || error.code !== 'approval.not_found') throw error;
}

/**
 * The pages of people: sign in, what waits, one held call, the decision. Each decision is a POST of a signed-in session
 * that carries the session's form token, and ends in the one function of approval-escalation like that of any surface.
 */
import { readFileSync } from 'node:fs';

import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { AdminErrorCode } from '#contracts/admin-errors.ts';
import { APPROVAL_OPERATIONS } from '#contracts/approval-api.ts';
import type { Operator } from '#contracts/control.ts';
import type { ApprovalPreview } from '#contracts/held.ts';
import { asApprovalId, parseTenantId, type TenantId, UUID7_PATTERN } from '#contracts/ids.ts';
import type { ControlView } from '#host/control-view.ts';
import { html, type Html, NOTHING, PAGE_HEADERS } from '#host/html.ts';
import type { Logger } from '#host/log.ts';
import { PAGE_STYLE } from '#host/page-style.ts';

import { refusalOf } from '../app.ts';
import { type AskHeld, decideHeld } from '../approvals.ts';
import { AdminError } from '../errors.ts';
import { authorize, hasRole, seesTenant } from '../operators.ts';
import type { Desk, Seat } from '../sign-in/desk.ts';
import { tenantsOf } from '../tenants.ts';
import { approvalView } from './approval-view.ts';
import { decisionView, needsCode, type PageStep } from './decision-view.ts';
import { type Layout, pageText, type Viewer } from './layout.ts';
import { listView } from './list-view.ts';
import { cookieOf, formOf, nextOf, type Place, setCookie } from './requests.ts';
import { signInView } from './sign-in-view.ts';

export interface PageParts {
  readonly desk: Desk;
  readonly ask: AskHeld;
  readonly view: ControlView;
  readonly operators: ReadonlyMap<string, Operator>;
  readonly place: Place;
  readonly log: Logger;
  readonly busConnected: () => boolean;
}

/** Each decision, with the operation of the API whose rights it takes. */
const STEPS = {
  approve: APPROVAL_OPERATIONS.approve,
  deny: APPROVAL_OPERATIONS.deny,
  acknowledge: APPROVAL_OPERATIONS.acknowledge,
} as const satisfies Record<PageStep, unknown>;

const SCRIPT = readFileSync(new URL('page.js', import.meta.url), 'utf8');
const UUID7 = new RegExp(UUID7_PATTERN);
/** Tenants whose requests stand in one list. */
const TENANTS_MAX = 16;
const PENDING_MAX = 50;
const ENDED_MAX = 10;
/** While the chain does not have a new call yet, its page asks again by itself. */
const FRESH_MS = 60_000;
const AGAIN_S = 2;

export function pageRoutes(app: FastifyInstance, parts: PageParts): void {
  void app.register(async (pages) => {
    pages.addHook('onSend', async (_, reply) => {
      reply.headers(PAGE_HEADERS);
    });
    pages.setErrorHandler((error: FastifyError | AdminError, request, reply) =>
      sendError(parts, request, { error, reply }),
    );
    pages.get('/', async (_, reply) => reply.redirect('/approvals', 303));
    pages.get('/page.css', async (_, reply) => reply.type('text/css').send(PAGE_STYLE));
    pages.get('/page.js', async (_, reply) => reply.type('text/javascript').send(SCRIPT));
    signInRoutes(pages, parts);
    approvalPages(pages, parts);
    decisionRoutes(pages, parts);
  });
}

function signInRoutes(pages: FastifyInstance, parts: PageParts): void {
  const { desk, place } = parts;
  pages.get<{ Querystring: { next?: unknown } }>('/sign-in', async (request, reply) => {
    const next = nextOf(one(request.query.next));
    if ((await desk.seatOf(cookieOf(request, place))) !== undefined)
      return reply.redirect(next, 303);
    return send(reply, signInPage({ next, fault: '', plain: !place.secure }));
  });
  pages.post('/sign-in', async (request, reply) => {
    const form = formOf(request, place);
    const text = (name: string): string => (form.get(name) ?? '').slice(0, 512);
    const next = nextOf(form.get('next') ?? '');
    try {
      const given = { name: text('name'), password: text('password'), code: text('code') };
      const cookie = await desk.signIn(given, request.ip);
      return await reply.header('set-cookie', setCookie(cookie, place)).redirect(next, 303);
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      if (error.status === 429) reply.header('retry-after', String(error.retryAfterS));
      reply.code(error.status);
      return send(reply, signInPage({ next, fault: signInFault(error), plain: !place.secure }));
    }
  });
  pages.post('/sign-out', async (request, reply) => {
    const { session } = await seated(parts, request, formOf(request, place));
    await desk.signOut(session.id);
    return reply.header('set-cookie', setCookie('', place)).redirect('/sign-in', 303);
  });
}

const signInPage = (view: Parameters<typeof signInView>[0]): Layout => ({
  title: 'Sign in',
  body: signInView(view),
});

function signInFault({ code, message, retryAfterS }: AdminError): string {
  if (code === 'operator.unknown')
    return 'Name, password and code do not fit together. A code counts only once: wait for the next one.';
  return code === 'sign_in.wait'
    ? `There were too many wrong tries. Try again in ${retryAfterS} seconds.`
    : message;
}

function approvalPages(pages: FastifyInstance, parts: PageParts): void {
  const { ask, view, operators } = parts;
  pages.get<{ Querystring: { tenant?: unknown } }>('/approvals', async (request, reply) => {
    const seat = await seated(parts, request);
    const all = tenantsOf(view).filter((tenant) => seesTenant(seat.operator, tenant));
    const wanted = parseTenantId(one(request.query.tenant));
    const tenants = wanted === undefined ? all.slice(0, TENANTS_MAX) : [wanted];
    for (const tenant of tenants) {
      authorize(seat.operator, { role: APPROVAL_OPERATIONS.listApprovals.role, tenant });
    }
    const listed = async (state: 'pending' | '', limit: number) =>
      Promise.all(
        tenants.map((tenant) => ask<'list'>(tenant, { ask: 'list', state, limit, before: 0 })),
      );
    const [pending, lately] = await Promise.all([
      listed('pending', PENDING_MAX),
      listed('', PENDING_MAX),
    ]);
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
    const { id } = request.params;
    if (!UUID7.test(id)) throw new AdminError('approval.not_found');
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
    return send(reply, approvalPage({ preview, seat, operators, parts }));
  });
}

/** A parameter that was given once, '' for none. */
const one = (given: unknown): string => (typeof given === 'string' ? given : '');

interface OneCall {
  readonly Params: { readonly tenant: string; readonly id: string };
}

function decisionRoutes(pages: FastifyInstance, parts: PageParts): void {
  const decide = decideHeld(parts.ask);
  for (const [step, { role }] of Object.entries(STEPS)) {
    pages.post<OneCall>(`/approvals/:tenant/:id/${step}`, async (request, reply) => {
      const form = formOf(request, parts.place);
      const seat = await seated(parts, request, form);
      const { tenant, id } = placeOf(request.params);
      authorize(seat.operator, { role, tenant });
      const decision = {
        tenant,
        approval: id,
        step: step as PageStep, // a key of the table
        operator: seat.operator,
        via: 'page',
        shown: (form.get('shown') ?? '').slice(0, 128),
        reason: (form.get('reason') ?? '').trim().toWellFormed().slice(0, 1_000),
      } as const;
      try {
        const steppedUpAt = await steppedUp(parts, seat, form.get('code'));
        await decide({ ...decision, steppedUpAt });
      } catch (error) {
        if (!(error instanceof AdminError) || !TOLD_ON_THE_PAGE.has(error.code)) throw error;
        const preview = await parts.ask<'show'>(tenant, {
          ask: 'show',
          approval: asApprovalId(id),
        });
        reply.code(error.status);
        return send(
          reply,
          approvalPage({ preview, seat, operators: parts.operators, parts, error }),
        );
      }
      return reply.redirect(`/approvals/${tenant}/${id}`, 303);
    });
  }
}

/** When the person proved themselves last: now, where the form has a code. @throws AdminError sign_in.* */
const steppedUp = async ({ desk }: PageParts, { session, operator }: Seat, code: string | null) =>
  code === null || code === ''
    ? session.steppedUpAt
    : desk.stepUp(operator.id, code.slice(0, 16), session.id);

/** Refusals of a decision that are told above the call as it is now. */
const TOLD_ON_THE_PAGE: ReadonlySet<AdminErrorCode> = new Set<AdminErrorCode>([
  'approval.ended',
  'approval.not_approver',
  'approval.self',
  'approval.voted',
  'approval.incomplete',
  'approval.step_up',
  'sign_in.code',
  'sign_in.wait',
]);

function approvalPage({
  preview,
  seat,
  operators,
  parts,
  error,
}: {
  readonly preview: ApprovalPreview;
  readonly seat: Seat;
  readonly operators: ReadonlyMap<string, Operator>;
  readonly parts: PageParts;
  readonly error?: AdminError;
}): Layout {
  const at = Date.now();
  const viewer = viewerOf(parts, seat);
  const { tenant } = preview;
  const may = (step: PageStep): boolean =>
    hasRole(seat.operator, STEPS[step].role) && seesTenant(seat.operator, tenant);
  const approvers = [...operators.values()]
    .filter(
      (operator) =>
        operator.disabled !== true && hasRole(operator, 'approver') && seesTenant(operator, tenant),
    )
    .map(({ id }) => id);
  const waits = preview.state === 'pending' && preview.missing.length > 0;
  const view = { preview, viewer, may, at };
  return {
    title: preview.effect === '' ? preview.tool : preview.effect,
    viewer,
    body: html`${error === undefined ? NOTHING : told(error, needsCode(view))}
    ${approvalView({ preview, names: (id) => nameOf(operators, id), approvers, decision: decisionView(view), at })}`,
    ...(waits && at - preview.held_at < FRESH_MS ? { againS: AGAIN_S } : {}),
  };
}

const told = ({ code, message, retryAfterS }: AdminError, asksCode: boolean): Html =>
  html`<section class="notice bad" role="alert">
    <p>
      <strong>Nothing was changed by you.</strong> ${message}
      ${code === 'sign_in.wait' ? `Try again in ${retryAfterS} seconds.` : ''}${code === 'approval.step_up' && asksCode ? 'Enter a code below.' : ''}
      ${code === 'approval.ended' || code === 'approval.incomplete' ? 'Below is the call as it is now.' : ''}
    </p>
  </section>`;

/** People by their names, the platform's own steps by what they are. */
function nameOf(operators: ReadonlyMap<string, Operator>, id: string): string {
  if (id === 'agent') return 'the agent itself';
  if (id.startsWith('system:')) return 'the platform';
  const name = operators.get(id)?.name;
  return name === undefined || name === id ? id : `${name} (${id})`;
}

function viewerOf({ desk }: PageParts, { session, operator }: Seat): Viewer {
  const { id, name, roles } = operator;
  return {
    id,
    name,
    roles,
    formToken: desk.seal.formToken(session.id),
    steppedUpAt: session.steppedUpAt,
  };
}

/** Whose session it is; with a form, also that the form is the session's. @throws AdminError operator.missing, sign_in.form */
async function seated(
  { desk, place }: PageParts,
  request: FastifyRequest,
  form?: URLSearchParams,
): Promise<Seat> {
  const seat = await desk.seatOf(cookieOf(request, place));
  if (seat === undefined) throw new AdminError('operator.missing');
  const { id } = seat.session;
  if (form !== undefined && !desk.seal.isFormToken(id, form.get('form') ?? ''))
    throw new AdminError('sign_in.form');
  return seat;
}

/** untrusted: what a path names. @throws AdminError approval.not_found */
function placeOf({ tenant, id }: OneCall['Params']): {
  readonly tenant: TenantId;
  readonly id: string;
} {
  const known = parseTenantId(tenant);
  if (known === undefined || !UUID7.test(id)) throw new AdminError('approval.not_found');
  return { tenant: known, id };
}

function notFound(error: unknown): undefined {
  if (!(error instanceof AdminError) || error.code !== 'approval.not_found') throw error;
}

function sendError(
  { log, busConnected, place }: PageParts,
  request: FastifyRequest,
  { error, reply }: { readonly error: FastifyError | AdminError; readonly reply: FastifyReply },
): FastifyReply {
  const refused = refusalOf(error, busConnected());
  if (refused.code === 'operator.missing') {
    const next = request.method === 'GET' ? nextOf(request.url.split('?')[0] ?? '') : '/approvals';
    return reply.redirect(`/sign-in?next=${encodeURIComponent(next)}`, 303);
  }
  if (refused.status >= 500) log.error({ err: error, route: request.routeOptions.url }, 'failed');
  if (refused.status === 429) reply.header('retry-after', String(refused.retryAfterS));
  if (refused.code === 'operator.unknown') reply.header('set-cookie', setCookie('', place));
  reply.code(refused.status);
  return send(reply, {
    title: 'Not possible',
    body: html`<section class="sheet">
      <h1>${refused.message}</h1>
      <p class="soft">Nothing was decided.</p>
      <p><a href="/approvals">All requests for approval</a></p>
    </section>`,
  });
}

const send = (reply: FastifyReply, layout: Layout): FastifyReply =>
  reply.type('text/html; charset=utf-8').send(pageText(layout));

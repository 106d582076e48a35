/** What the routes of pages share: the parts they are made of, and whose session a request is. */
import type { FastifyRequest } from 'fastify';

import type { Operator } from '#contracts/control.ts';
import { parseTenantId, type TenantId, UUID7_PATTERN } from '#contracts/ids.ts';
import type { ControlView } from '#host/control-view.ts';
import type { Logger } from '#host/log.ts';

import type { AskHeld } from '../approvals.ts';
import { AdminError } from '../errors.ts';
import type { Desk, Seat } from '../sign-in/desk.ts';
import type { Viewer } from './layout.ts';
import { cookieOf, type Place } from './requests.ts';

export interface PageParts {
  readonly desk: Desk;
  readonly ask: AskHeld;
  readonly view: ControlView;
  readonly operators: ReadonlyMap<string, Operator>;
  readonly place: Place;
  readonly log: Logger;
  readonly busConnected: () => boolean;
}

/** Whose session it is; with a form, also that the form is the session's. @throws AdminError operator.missing, sign_in.form */
export async function seated(
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

/** The person as pages show them. */
export function viewerOf({ desk }: PageParts, { session, operator }: Seat): Viewer {
  const { id, name, roles } = operator;
  return {
    id,
    name,
    roles,
    formToken: desk.seal.formToken(session.id),
    steppedUpAt: session.steppedUpAt,
  };
}

/** A path that names one held call. */
export interface OneCall {
  readonly Params: { readonly tenant: string; readonly id: string };
}

const UUID7 = new RegExp(UUID7_PATTERN);

/** untrusted: the id in a path. @throws AdminError approval.not_found */
export function knownForm(id: string): string {
  if (!UUID7.test(id)) throw new AdminError('approval.not_found');
  return id;
}

/** untrusted: what a path names. @throws AdminError approval.not_found */
export function placeOf({ tenant, id }: OneCall['Params']): {
  readonly tenant: TenantId;
  readonly id: string;
} {
  const known = parseTenantId(tenant);
  if (known === undefined) throw new AdminError('approval.not_found');
  return { tenant: known, id: knownForm(id) };
}

/** A parameter that was given once, '' for none. */
export const one = (given: unknown): string => (typeof given === 'string' ? given : '');

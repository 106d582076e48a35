/**
 * Held calls for operators. This process only says who the person is; what they may do, and whether it changes
 * anything, approval-escalation alone decides.
 */
import type { FastifyInstance } from 'fastify';

import type { AdminErrorCode } from '#contracts/admin-errors.ts';
import { APPROVAL_OPERATIONS } from '#contracts/approval-api.ts';
import type { GrantTerms } from '#contracts/approval-grant.ts';
import { APPROVAL_STATES, type ApprovalState, type Surface } from '#contracts/approval.ts';
import type { Operator } from '#contracts/control.ts';
import {
  type DecisionAnswer,
  type DecisionStep,
  HELD_PAGE_MAX,
  type HeldAsk,
  type HeldFault,
  type HeldValues,
  parseHeldReply,
} from '#contracts/held.ts';
import { asApprovalId, type TenantId } from '#contracts/ids.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { NotAnswered, type SignedRequest } from '#host/signed-request.ts';

import { type Handlers, mount } from './app.ts';
import { readNumber } from './audit-query.ts';
import { AdminError } from './errors.ts';
import type { Routes } from './routes.ts';
import { type Desk, opened } from './sign-in/desk.ts';

const PAGE = 50;

const ERRORS: Readonly<Record<HeldFault, AdminErrorCode>> = {
  not_found: 'approval.not_found',
  ended: 'approval.ended',
  not_approver: 'approval.not_approver',
  self: 'approval.self',
  voted: 'approval.voted',
  incomplete: 'approval.incomplete',
  step_up: 'approval.step_up',
  impossible: 'approval.impossible',
  malformed: 'service.failed',
  unavailable: 'approval.unavailable',
};

/** An ask without what every ask has. */
type Ask<Name extends HeldAsk['ask']> = Omit<Extract<HeldAsk, { ask: Name }>, 'v' | 'at'>;

/** Asks approval-escalation. @throws AdminError approval.* */
export type AskHeld = <Name extends HeldAsk['ask']>(
  tenant: TenantId,
  ask: Ask<Name>,
) => Promise<HeldValues[Name]>;

export function heldAsker(request: SignedRequest): AskHeld {
  return async <Name extends HeldAsk['ask']>(tenant: TenantId, ask: Ask<Name>) => {
    const body = JSON.stringify({ v: 1, at: Date.now(), ...ask });
    const text = await request(SUBJECTS.held(tenant), body).catch((cause: unknown) => {
      if (!(cause instanceof NotAnswered)) throw cause;
      throw new AdminError('approval.unavailable', '', { cause });
    });
    const reply = parseHeldReply<Name>(text);
    if (reply.ok) return reply.value;
    throw new AdminError(ERRORS[reply.fault], reply.detail);
  };
}

/** What a person on some surface of this process decides. The one way from here to approval-escalation. */
export interface Decision {
  readonly tenant: TenantId;
  readonly approval: string;
  readonly step: DecisionStep;
  readonly operator: Pick<Operator, 'id'>;
  /** Milliseconds UTC of the session's second factor, 0 without one. */
  readonly steppedUpAt: number;
  readonly via: Surface;
  readonly shown?: string;
  readonly reason?: string;
  /** JSON text. */
  readonly arguments?: string;
  readonly grant?: GrantTerms | undefined;
}

export const decideHeld =
  (ask: AskHeld) =>
  ({
    tenant,
    operator,
    approval,
    steppedUpAt,
    shown = '',
    reason = '',
    grant,
    ...rest
  }: Decision): Promise<DecisionAnswer> =>
    ask<'decide'>(tenant, {
      ask: 'decide',
      approval: asApprovalId(approval),
      by: { id: operator.id, stepped_up_at: steppedUpAt },
      shown,
      reason,
      ...(grant === undefined ? {} : { grant }),
      ...rest,
    });

/** The operations of the admin API, by operator token: a token is no second factor, but a code beside it is. */
export function approvalRoutes(ask: AskHeld, desk: Desk | undefined): Routes {
  const decide = decideHeld(ask);
  const handlers: Handlers<typeof APPROVAL_OPERATIONS> = {
    listApprovals: async ({ tenant, query }) =>
      ask<'list'>(tenant, {
        ask: 'list',
        state: stateOf(query['state']),
        limit: readNumber(query['limit'], { otherwise: PAGE, min: 1, max: HELD_PAGE_MAX }),
        before: readNumber(query['before'], { otherwise: 0, max: Number.MAX_SAFE_INTEGER }),
      }),
    getApproval: async ({ tenant, path }) =>
      ask<'show'>(tenant, { ask: 'show', approval: asApprovalId(path['approval'] ?? '') }),
    approve: async ({ body: { shown, grant, code }, ...asked }) => {
      const steppedUpAt =
        code === undefined ? 0 : await opened(desk).stepUp(asked.operator.id, code);
      return decide({ ...stepOf(asked), step: 'approve', shown, grant, steppedUpAt });
    },
    editApproval: async ({ body, ...asked }) =>
      decide({
        ...stepOf(asked),
        step: 'edit',
        shown: body.shown,
        reason: body.reason ?? '',
        arguments: JSON.stringify(body.arguments),
      }),
    deny: async ({ body, ...asked }) =>
      decide({ ...stepOf(asked), step: 'deny', reason: body.reason ?? '' }),
    cancelApproval: async ({ body, ...asked }) =>
      decide({ ...stepOf(asked), step: 'cancel', reason: body.reason ?? '' }),
    listGrants: async ({ tenant }) => ask<'grants'>(tenant, { ask: 'grants' }),
    revokeGrant: async ({ body, ...asked }) =>
      decide({ ...stepOf(asked), step: 'revoke', reason: body.reason ?? '' }),
    acknowledge: async (asked) => decide({ ...stepOf(asked), step: 'acknowledge' }),
  };
  return (app: FastifyInstance, { authenticate }) =>
    mount(app, { operations: APPROVAL_OPERATIONS, handlers, authenticate });
}

function stepOf(asked: {
  readonly tenant: TenantId;
  readonly operator: Operator;
  readonly path: Readonly<Record<string, string>>;
}) {
  const { tenant, operator, path } = asked;
  return {
    tenant,
    operator,
    approval: path['approval'] ?? '',
    steppedUpAt: 0,
    via: 'api',
  } as const;
}

/** @throws AdminError request.schema */
function stateOf(text = 'pending'): ApprovalState | '' {
  if (text === 'all') return '';
  const state = APPROVAL_STATES.find((known) => known === text);
  if (state === undefined) throw new AdminError('request.schema', 'There is no such state.');
  return state;
}

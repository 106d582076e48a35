/** The admin API's part about held calls. Every operation ends in one request to approval-escalation (held.ts). */
import { Type } from 'typebox';

import type { Operation } from './admin-api.ts';
import { GrantTerms } from './approval-grant.ts';
import { ApprovalItem, ApprovalPreview, DecisionAnswer } from './held.ts';
import type { JsonObject } from './json.ts';

const closed = { additionalProperties: false } as const;
const APPROVALS = '/v1/tenants/{tenant}/approvals';
const GRANTS = '/v1/tenants/{tenant}/grants';
const ONE = `${APPROVALS}/{approval}`;

const Shown = Type.String({ maxLength: 128, description: '`shown` of the preview that you saw.' });
const EditedArguments = Type.Unsafe<JsonObject>({
  type: 'object',
  additionalProperties: true,
  description: 'Whole, in place of the held ones.',
});
const Words = Type.Optional(Type.String({ maxLength: 1_000 }));

const step = <const Role extends Operation['role'], Body extends Operation['body']>(
  path: string,
  role: Role,
  summary: string,
  body: Body,
) =>
  ({
    method: 'POST',
    path,
    role,
    summary,
    body,
    answer: DecisionAnswer,
    status: 200,
    query: [],
  }) as const;

export const APPROVAL_OPERATIONS = {
  listApprovals: {
    method: 'GET',
    path: APPROVALS,
    role: 'viewer',
    summary:
      'Held calls, newest first: those of a `state` (default pending; `all`), at most `limit`, below position `before`.',
    status: 200,
    query: ['state', 'limit', 'before'],
    body: undefined,
    answer: Type.Object({ items: Type.Array(ApprovalItem), more: Type.Boolean() }),
  },
  getApproval: {
    method: 'GET',
    path: ONE,
    role: 'viewer',
    summary: 'One held call with everything that a person needs to judge it.',
    status: 200,
    query: [],
    body: undefined,
    answer: ApprovalPreview,
  },
  approve: step(
    `${ONE}/approve`,
    'approver',
    'Say yes to exactly what was shown. Idempotent for the same person.',
    Type.Object(
      {
        shown: Shown,
        grant: Type.Optional({
          ...GrantTerms,
          description:
            'Repeats of it by the same agent that nobody is asked about: how many, how long, and which arguments may differ how far. Never for risk critical. Those who say yes after the first agree to what is shown.',
        }),
        code: Type.Optional(
          Type.String({
            maxLength: 16,
            description: 'A one-time code of yours, where a fresh second factor is asked for.',
          }),
        ),
      },
      closed,
    ),
  ),
  editApproval: step(
    `${ONE}/edit`,
    'approver',
    'Put other arguments in their place: this call ends as `edited`, its agent is told, and what it sends then is judged anew and approved by another person.',
    Type.Object({ shown: Shown, arguments: EditedArguments, reason: Words }, closed),
  ),
  deny: step(
    `${ONE}/deny`,
    'approver',
    'Say no, with words that the agent may see.',
    Type.Object({ reason: Words }, closed),
  ),
  cancelApproval: step(
    `${ONE}/cancel`,
    'operator',
    'Withdraw a held call: nobody decided, and it does not run.',
    Type.Object({ reason: Words }, closed),
  ),
  listGrants: {
    method: 'GET',
    path: GRANTS,
    role: 'viewer',
    summary: 'Grants that hold, newest first, at most 200: each with its terms and what is used.',
    status: 200,
    query: [],
    body: undefined,
    answer: Type.Object({ items: Type.Array(ApprovalItem) }),
  },
  revokeGrant: step(
    `${GRANTS}/{approval}/revoke`,
    'approver',
    'End a grant: from then on people are asked again.',
    Type.Object({ reason: Words }, closed),
  ),
  acknowledge: step(
    `${ONE}/acknowledge`,
    'approver',
    'Say that you look at it: nobody else is told any more.',
    Type.Object({}, closed),
  ),
} as const satisfies Readonly<Record<string, Operation>>;

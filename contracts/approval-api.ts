/** The admin API's part about held calls. Every operation ends in one request to approval-escalation (held.ts). */
import { Type } from 'typebox';

import { GrantTerms } from './approval-grant.ts';
import { ApprovalItem, ApprovalPreview, DecisionAnswer } from './held.ts';
import type { JsonObject } from './json.ts';
import { get, type Operation, post, TENANT } from './operation.ts';

const closed = { additionalProperties: false } as const;
const APPROVALS = `${TENANT}/approvals`;
const GRANTS = `${TENANT}/grants`;
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
) => ({ ...post(path, summary, { body, answer: DecisionAnswer }, { status: 200 }), role }) as const;

export const APPROVAL_OPERATIONS = {
  listApprovals: get(
    APPROVALS,
    'Held calls, newest first: those of a `state` (default pending; `all`), at most `limit`, below position `before`.',
    Type.Object({ items: Type.Array(ApprovalItem), more: Type.Boolean() }),
    ['state', 'limit', 'before'],
  ),
  getApproval: get(
    ONE,
    'One held call with everything that a person needs to judge it.',
    ApprovalPreview,
  ),
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
  listGrants: get(
    GRANTS,
    'Grants that hold, newest first, at most 200: each with its terms and what is used.',
    Type.Object({ items: Type.Array(ApprovalItem) }),
  ),
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

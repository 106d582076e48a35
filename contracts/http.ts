/** Bodies of the decision API (`/v1`), as callers see them. Unknown properties of a request are refused. */
import { Type, type Static } from 'typebox';

import { HELD_WORDS, type HeldAs, type NextStep } from './approval.ts';
import { BudgetShare } from './budget.ts';
import {
  CALL_ID_MAX,
  DEADLINE_DEFAULT_MS,
  DEADLINE_MAX_MS,
  DecisionBody,
  DeclaredIntent,
  Durability,
  PublicReasonSchema,
  ToolName,
  UpstreamName,
} from './call.ts';
import { WaitingCall } from './held.ts';
import { ApprovalIdSchema, DecisionIdSchema, RevisionSchema } from './ids.ts';
import type { JsonObject } from './json.ts';
import { OwnCapability, OwnIdentity } from './me.ts';

/** Body of POST /v1/decisions. */
export const DecisionRequest = Type.Object(
  {
    tool: ToolName,
    arguments: Type.Unsafe<JsonObject>({
      type: 'object',
      description: 'Whatever the tool takes; at most 256 KiB.',
    }),
    upstream: Type.Optional(UpstreamName),
    call_id: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: CALL_ID_MAX,
        description: 'Makes a repeat of this call safe for 24 hours: it gets the same answer.',
      }),
    ),
    intent: Type.Optional(DeclaredIntent),
    task_id: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    session_id: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    min_revision: Type.Optional(RevisionSchema),
    receipt: Type.Optional(
      Type.Boolean({
        description: 'Answer with a receipt, by which a tool server can check the call itself.',
      }),
    ),
    deadline_ms: Type.Optional(
      Type.Integer({ minimum: 1, maximum: DEADLINE_MAX_MS, default: DEADLINE_DEFAULT_MS }),
    ),
  },
  { additionalProperties: false },
);
export type DecisionRequest = Static<typeof DecisionRequest>;

/** Where the evidence of a decision stands, and what it survives. */
export const Recorded = Type.Object({
  ref: Type.String({ description: 'Opaque. Send it with the outcome.' }),
  durability: Durability,
});

/** Answer of POST /v1/decisions for a call that was judged. */
export const DecisionAnswer = Type.Object({
  ...DecisionBody.properties,
  repeated: Type.Optional(
    Type.Literal(true, {
      description:
        'This answer was given before (same call_id); a call that ran MUST NOT run again.',
    }),
  ),
  approval_handle: Type.Optional(
    Type.String({
      description:
        'Of a held call. GET /v1/approvals/{approval_handle}?wait=30 says what became of it.',
    }),
  ),
  recorded: Recorded,
  receipt: Type.Optional(
    Type.String({
      description:
        'Where one was asked for. Send it to the tool server as the header Countersign-Receipt.',
    }),
  ),
});

/** Longest wait for an answer to a held call: below what clients and proxies usually allow a request. */
export const HELD_WAIT_S_MAX = 55;

/** Answer of GET and DELETE /v1/approvals/{handle}. */
export const HeldAnswer = Type.Object({
  approval_id: ApprovalIdSchema,
  state: Type.Unsafe<HeldAs>({ type: 'string', enum: Object.keys(HELD_WORDS) }),
  next: Type.Unsafe<NextStep>({
    type: 'string',
    enum: ['wait', 'repeat', 'stop'],
    description: 'repeat: send exactly the same call again. stop: it will not run as it is.',
  }),
  message: Type.String(),
  expires_at: Type.Optional(Type.String({ description: 'RFC 3339' })),
  note: Type.Optional(
    Type.String({ description: 'Words of the person who declined or changed it.' }),
  ),
  edited: Type.Optional(
    Type.Object({
      arguments: Type.Unsafe<JsonObject>({
        type: 'object',
        description: 'What a person put in the place of the arguments. Send exactly this.',
      }),
    }),
  ),
  used: Type.Optional(
    Type.Object({
      decision_id: DecisionIdSchema,
      effect: Type.String({ description: 'Status of its outcome; "unknown" while nobody knows.' }),
    }),
  ),
});
export type HeldAnswer = Static<typeof HeldAnswer>;

/** Answer of GET /v1/me. */
export const Me = Type.Object({
  identity: OwnIdentity,
  capability: Type.Object({
    ...OwnCapability.properties,
    reason: Type.Optional({ ...PublicReasonSchema, description: 'Why it does not hold.' }),
  }),
  tools: Type.Array(
    Type.Object({
      upstream: Type.String(),
      name: Type.String(),
      visible: Type.Boolean({
        description: 'Whether it may be called at all; what the policy says, only a call tells.',
      }),
      reason: Type.Optional({ ...PublicReasonSchema, description: 'Why it is hidden.' }),
    }),
  ),
  budgets: Type.Array(BudgetShare, {
    description:
      'What is used of each ceiling that applies: of tenant and agent, of the session and task of the identity, of the capability.',
  }),
  holds: Type.Optional(
    Type.Array(
      Type.Object({
        ...WaitingCall.properties,
        held_at: Type.String({ description: 'RFC 3339' }),
        expires_at: Type.String({ description: 'RFC 3339' }),
      }),
      { description: 'Own calls that wait for people. Left out while nobody can say.' },
    ),
  ),
});
export type Me = Static<typeof Me>;

/** What every route answers where nothing was judged, with the status of the reason. */
export const Refusal = Type.Object({ verdict: Type.Literal('block'), reason: PublicReasonSchema });

/** Answer of POST /v1/decisions/{id}/outcome. */
export const OutcomeAnswer = Type.Object({
  decision_id: DecisionIdSchema,
  late: Type.Boolean({ description: 'Reported after the end of the decision’s validity.' }),
  recorded: Type.Object({ durability: Durability }),
});

/**
 * Bodies of the OpenID AuthZEN Authorization API 1.0. Unknown properties are allowed everywhere, as it demands; those
 * of subject, action, resource and context reach the policy.
 * @see https://openid.net/specs/authorization-api-1_0.html
 */
import { Type, type Static } from 'typebox';

const open = { additionalProperties: true } as const;
const Anything = Type.Unsafe<Record<string, unknown>>({ type: 'object' });
const properties = Type.Optional(Anything);
const name = (max: number) => Type.String({ minLength: 1, maxLength: max });

export const AuthzenSubject = Type.Object({ type: name(64), id: name(256), properties }, open);
export const AuthzenResource = Type.Object({ type: name(256), id: name(2_048), properties }, open);
/** The name is the name of a tool. */
export const AuthzenAction = Type.Object({ name: name(128), properties }, open);
export const AuthzenContext = Anything;

/** Body of POST /access/v1/evaluation. */
export const Evaluation = Type.Object(
  {
    subject: AuthzenSubject,
    action: AuthzenAction,
    resource: AuthzenResource,
    context: Type.Optional(AuthzenContext),
  },
  open,
);
export type Evaluation = Static<typeof Evaluation>;

export const EvaluationsSemantic = Type.Union([
  Type.Literal('execute_all'),
  Type.Literal('deny_on_first_deny'),
  Type.Literal('permit_on_first_permit'),
]);
export type EvaluationsSemantic = Static<typeof EvaluationsSemantic>;

/** Evaluations in one request at most. */
export const EVALUATIONS_MAX = 100;

/** Body of POST /access/v1/evaluations: defaults, and evaluations that override them. */
export const Evaluations = Type.Object(
  {
    subject: Type.Optional(AuthzenSubject),
    action: Type.Optional(AuthzenAction),
    resource: Type.Optional(AuthzenResource),
    context: Type.Optional(AuthzenContext),
    evaluations: Type.Optional(Type.Array(Anything, { maxItems: EVALUATIONS_MAX })),
    options: Type.Optional(
      Type.Object({ evaluations_semantic: Type.Optional(EvaluationsSemantic) }, open),
    ),
  },
  open,
);
export type Evaluations = Static<typeof Evaluations>;

/** One decision as AuthZEN has it; an escalated call is `false`, and the context says so. */
export const EvaluationAnswer = Type.Object({
  decision: Type.Boolean(),
  context: Type.Optional(AuthzenContext),
});
export type EvaluationAnswer = Static<typeof EvaluationAnswer>;

export const EvaluationsAnswer = Type.Object({ evaluations: Type.Array(EvaluationAnswer) });

/** GET /.well-known/authzen-configuration. */
export const AuthzenConfiguration = Type.Object({
  policy_decision_point: Type.String(),
  access_evaluation_endpoint: Type.String(),
  access_evaluations_endpoint: Type.String(),
});

/** Key of an AuthZEN context that names the upstream of the tool, for tools whose name alone is ambiguous. */
export const CONTEXT_UPSTREAM = 'countersign/upstream';

/**
 * Exceptions: one refusal of some calls, lifted until a day by an operator who says why, and looked at by another one.
 * They hold in every mode and lift only reasons that the table of reasons calls liftable.
 */
import { Type, type Static } from 'typebox';

import { ToolName } from './call.ts';
import { AgentId } from './control.ts';
import { AgentClass } from './mode.ts';
import { type Reason, reasonSpec, REASONS } from './reasons.ts';
import { StopReason } from './stop.ts';

const closed = { additionalProperties: false } as const;

export const EXCEPTION_DAYS_MAX = 90;

const LIFTABLE = (Object.keys(REASONS) as Reason[]).filter((code) => reasonSpec(code).liftable);

const excepted = {
  agent: Type.Optional(AgentId),
  class: Type.Optional(AgentClass),
  tool: Type.Optional(ToolName),
  reason: Type.Unsafe<Reason>({
    ...Type.Union(LIFTABLE.map((code) => Type.Literal(code))),
    description: 'The one refusal that it lifts.',
  }),
  why: StopReason,
};

/** At least one of agent, class and tool; all that are named must agree with the call. */
export const ExceptionRequest = Type.Object(
  {
    ...excepted,
    days: Type.Number({ exclusiveMinimum: 0, maximum: EXCEPTION_DAYS_MAX }),
  },
  closed,
);
export type ExceptionRequest = Static<typeof ExceptionRequest>;

/** What the event of a new exception says. `expires_at`: milliseconds UTC. */
export const ExceptionOrder = Type.Object(
  { ...excepted, expires_at: Type.Integer(), by: Type.String() },
  closed,
);
export type ExceptionOrder = Static<typeof ExceptionOrder>;

/** What the events that end or review one say. */
export const ExceptionStep = Type.Object({ by: Type.String(), reason: Type.String() }, closed);
export type ExceptionStep = Static<typeof ExceptionStep>;

/** `review`: the other person who looked at it; null = nobody yet. */
export const Exception = Type.Object(
  {
    ...ExceptionOrder.properties,
    at: Type.Integer(),
    review: Type.Union([Type.Object({ by: Type.String(), at: Type.Integer() }), Type.Null()]),
  },
  closed,
);
export type Exception = Static<typeof Exception>;

/** What an exception is looked up by. `at`: milliseconds UTC of the decision. */
export interface Excepted {
  readonly agent: string;
  readonly agentClass: string;
  readonly tool: string;
  readonly reason: Reason;
  readonly at: number;
}

/** Whether an exception lifts this refusal of this call. */
export function exceptionLifts(exception: ExceptionOrder, of: Excepted): boolean {
  const { agent, class: agentClass, tool, reason, expires_at: until } = exception;
  return (
    reason === of.reason &&
    reasonSpec(reason).liftable &&
    of.at < until &&
    (agent ?? of.agent) === of.agent &&
    (agentClass ?? of.agentClass) === of.agentClass &&
    (tool ?? of.tool) === of.tool
  );
}

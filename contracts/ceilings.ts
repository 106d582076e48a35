/** What operators set as budgets: how often and for how much may be called in a window, and what counts as run away. */
import { Type, type Static } from 'typebox';

const name = (max: number) => Type.String({ minLength: 1, maxLength: max });

/**
 * One ceiling. Windows are fixed: they start on the minute, hour, day and month of the tenant's time zone. Scope session
 * is one session of one agent, task is one task; calls that name none share one count.
 */
export const Ceiling = Type.Object(
  {
    scope: Type.Union([
      Type.Literal('tenant'),
      Type.Literal('agent'),
      Type.Literal('session'),
      Type.Literal('task'),
    ]),
    /** scope agent: this agent only; without it each agent has its own count. */
    agent: Type.Optional(name(256)),
    window: Type.Union([
      Type.Literal('minute'),
      Type.Literal('hour'),
      Type.Literal('day'),
      Type.Literal('month'),
    ]),
    calls: Type.Optional(Type.Integer({ minimum: 0, maximum: 1e15 })),
    cost: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1e15,
        description: "Micro-units of the policies' `cost`: 1000000 is one unit of your currency.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type Ceiling = Static<typeof Ceiling>;

/** When agents of a class count as run away. Without a rule for its class an agent never does. */
export const RunawayRule = Type.Object(
  {
    class: name(64),
    repeats: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: 'Most calls in a minute of one session with the same tool and arguments.',
      }),
    ),
    times_habit: Type.Optional(
      Type.Integer({
        minimum: 2,
        maximum: 1_000,
        description:
          'Most calls in a minute, as a multiple of the mean of the last nine minutes in which the agent called.',
      }),
    ),
    at_least: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: 'Calls in a minute that are never too many for times_habit. Default 60.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type RunawayRule = Static<typeof RunawayRule>;

/** All ceilings of a tenant, and what counts as run away. */
export const Budgets = Type.Object(
  {
    ceilings: Type.Array(Ceiling, { maxItems: 64 }),
    runaway: Type.Optional(Type.Array(RunawayRule, { maxItems: 64 })),
  },
  { additionalProperties: false },
);
export type Budgets = Static<typeof Budgets>;

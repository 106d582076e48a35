/**
 * A drill of the kill switch: an order that stops nothing goes the way that a switch goes, and every process that
 * watches the control state says in its heartbeat that it has seen it.
 */
import { Type, type Static } from 'typebox';

import { Changed } from './admin-bodies.ts';
import { StopReason } from './stop.ts';

/** Seen by all within this, by default. Also the bound that a real switch is held to. */
export const DRILL_MS_DEFAULT = 1_000;

export const DrillRequest = Type.Object(
  {
    reason: Type.Optional(StopReason),
    rounds: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 10 })),
    within_ms: Type.Optional(
      Type.Integer({ minimum: 10, maximum: 10_000, default: DRILL_MS_DEFAULT }),
    ),
  },
  { additionalProperties: false },
);
export type DrillRequest = Static<typeof DrillRequest>;

/** What the event of one round says, and what stands in the state. */
export const DrillOrder = Type.Object(
  { id: Type.String(), by: Type.String(), reason: Type.String() },
  { additionalProperties: false },
);
export type DrillOrder = Static<typeof DrillOrder>;

/**
 * Milliseconds from before the order was sent until the acknowledgement was back, by one clock: an upper bound of
 * how long it took to be seen.
 */
const Milliseconds = Type.Object({ p50: Type.Number(), p99: Type.Number(), worst: Type.Number() });

export const DrillReport = Type.Object({
  ...Changed.properties,
  rounds: Type.Integer({
    description: 'How many were run: the first that somebody missed is the last.',
  }),
  within_ms: Type.Integer(),
  processes: Type.Array(
    Type.Object({
      name: Type.String(),
      seen: Type.Integer({ description: 'Rounds that it answered in time.' }),
      ms: Type.Union([Milliseconds, Type.Null()]),
    }),
    { description: 'Every process whose heartbeat was fresh when the drill began.' },
  ),
  missed: Type.Array(Type.String(), { description: 'Who did not see a round in time.' }),
});
export type DrillReport = Static<typeof DrillReport>;

/** A heartbeat in bucket `control`. Only its writer knows what its time means: two processes may have one name. */
export interface Beat {
  readonly writer: string;
  /** By performance.now() of the writer. */
  readonly at: number;
  /** Id of the newest drill that it has seen; absent = none. */
  readonly drill?: string;
}

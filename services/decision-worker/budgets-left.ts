/** What is used of each ceiling that applies to a caller, for GET /v1/me. Reads counters, draws on none. */
import type { BudgetShare } from '#contracts/budget.ts';

import {
  type BudgetPoints,
  capabilityLimits,
  ceilingLimits,
  lowest,
  share,
} from './checks/budget.ts';
import type { Call, Held, Principal } from './decide.ts';
import type { Counters } from './points/counters.ts';

export type LeftPoints = Pick<BudgetPoints, 'ceilings' | 'settings' | 'scopeToken'> &
  Pick<Counters, 'peek'>;

/** One entry for each counter; sessions and tasks are those that the caller names. Rejects when the broker is away. */
export type BudgetsLeft = (
  call: Call,
  by: Principal,
  under: Pick<Held, 'callLimits' | 'amountLimits'> | undefined,
) => Promise<BudgetShare[]>;

/** Any cost, to see ceilings of cost too. */
const SOME = 1;

export function budgetsLeft(points: LeftPoints): BudgetsLeft {
  return async (call, by, under) => {
    const limits = lowest([
      ...ceilingLimits(points, call, by, SOME),
      ...(under === undefined ? [] : capabilityLimits(points, call, under)),
    ]);
    const values = await Promise.all(limits.map(({ counter }) => points.peek(counter)));
    return limits.map((limit, index) =>
      // Units that are on their way back may stand above the limit for a moment.
      share(limit, Math.min(limit.limit, Math.max(0, values[index] ?? 0))),
    );
  };
}

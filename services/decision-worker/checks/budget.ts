/**
 * Fifth check. Reserves this call's share of every ceiling that applies, by counters drawn on in parallel; what was
 * drawn is given back when any of them is over. Never over: the counter says what it was at the moment of adding, so of
 * any race exactly the first ones fit.
 * Cost: nothing without a ceiling; one round to the broker, or none where units are at hand (points/counters.ts).
 */
import { type BudgetShare, microUnits } from '#contracts/budget.ts';
import { argumentAt } from '#contracts/capability/judge.ts';
import type { Ceiling, RunawayRule } from '#contracts/ceilings.ts';
import type { TenantSettings } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { Reason } from '#contracts/reasons.ts';
import { type BudgetWindow, SUBJECTS } from '#contracts/subjects.ts';

import {
  block,
  type Call,
  type Checked,
  type Checks,
  type Held,
  pass,
  type Principal,
  type Reservation,
} from '../decide.ts';
import type { Counters, Drawn } from '../points/counters.ts';
import type { RunawayLimits } from './runaway.ts';
import { windowAt } from './windows.ts';

export interface BudgetPoints extends Pick<Counters, 'draw' | 'spent' | 'giveBack'> {
  readonly ceilings: (tenant: TenantId) => readonly Ceiling[];
  readonly settings: (tenant: TenantId) => TenantSettings;
  readonly scopeToken: (text: string) => string;
  readonly runaway: (tenant: TenantId, agentClass: string) => RunawayRule | undefined;
  readonly runawayLimits: RunawayLimits;
  readonly onRunaway: (call: Call, by: Principal, limit: Limit) => void;
}

/** A counter that applies to a call, and what the call wants of it. */
export interface Limit {
  readonly window: BudgetWindow;
  readonly counter: string;
  readonly scope: string;
  readonly unit: 'calls' | 'cost' | 'amount';
  readonly units: number;
  readonly limit: number;
  /** Milliseconds UTC. */
  readonly resetsAt: number;
  readonly exhausted: Reason;
}

const NOTHING = pass<Reservation>({
  shares: [],
  draws: [],
  at: Number.POSITIVE_INFINITY,
  spent: () => undefined,
  refund: () => undefined,
});

/** The check over its points. */
export function budgetCheck(points: BudgetPoints): Checks['budget'] {
  return async (call, by, under, grant) => {
    if (call.envelope.ask === 'evaluate') return NOTHING; // asks whether, and nothing runs
    const applies = [
      ...ceilingLimits(points, call, by, grant?.cost ?? 0),
      ...capabilityLimits(points, call, under),
    ];
    const rule = points.runaway(call.tenant, by.agentClass);
    if (rule !== undefined) applies.push(...(await points.runawayLimits(rule, call, by)));
    const limits = applies.length === 0 ? applies : lowest(applies);
    if (limits.length === 0) return NOTHING;
    const refuse = (over: Limit) => {
      if (over.exhausted === 'budget.runaway') points.onRunaway(call, by, over);
      return block<Reservation>(over.exhausted, wordsOf(over));
    };
    const above = limits.find(({ units, limit }) => units > limit);
    if (above !== undefined) return refuse(above);
    const at = performance.now();
    const drawn = await Promise.allSettled(limits.map((limit) => points.draw(limit)));
    return sumUp(points, limits, { drawn, at, refuse });
  };
}

function sumUp(
  points: BudgetPoints,
  limits: readonly Limit[],
  {
    drawn,
    at,
    refuse,
  }: {
    readonly drawn: readonly PromiseSettledResult<Drawn>[];
    readonly at: number;
    readonly refuse: (over: Limit) => Checked<Reservation>;
  },
): Checked<Reservation> {
  const results = drawn.map((result) => (result.status === 'fulfilled' ? result.value : undefined));
  const draws = results.flatMap((result) => (result?.fits === true ? [result.draw] : []));
  const refund = () => points.giveBack(draws);
  const failed = results.includes(undefined);
  const over = limits.find((_, index) => results[index]?.fits === false);
  if (failed || over !== undefined) refund();
  if (over !== undefined) return refuse(over);
  if (failed) return block('budget.unavailable', 'a counter did not answer');
  const shares = limits.flatMap((limit, index) =>
    limit.exhausted === 'budget.runaway' ? [] : [share(limit, results[index]?.used ?? 0)],
  );
  return pass({ shares, draws, at, spent: () => points.spent(draws), refund });
}

const wordsOf = ({ scope, window, limit, unit }: Limit) => `${scope} ${window}: ${limit} ${unit}`;

/** One counter once, with its lowest limit: a ceiling of all agents and one of this agent count the same calls. */
export function lowest(limits: readonly Limit[]): Limit[] {
  const byCounter = new Map<string, Limit>();
  for (const limit of limits) {
    const known = byCounter.get(limit.counter);
    if (known === undefined || limit.limit < known.limit) byCounter.set(limit.counter, limit);
  }
  return [...byCounter.values()];
}

/** What of a ceiling was used, as callers see it. */
export const share = (
  { limit, resetsAt, scope, unit, window }: Limit,
  used: number,
): BudgetShare => ({
  limit,
  resets_at: new Date(resetsAt).toISOString(),
  scope,
  ...(unit === 'calls' ? {} : { unit }),
  used,
  window,
});

/** Counters of the tenant's ceilings. What costs nothing draws on no ceiling of cost. */
export function ceilingLimits(
  points: Pick<BudgetPoints, 'ceilings' | 'settings' | 'scopeToken'>,
  call: Call,
  by: Principal,
  cost: number,
): Limit[] {
  const ceilings = points.ceilings(call.tenant);
  if (ceilings.length === 0) return [];
  const zone = points.settings(call.tenant).time_zone ?? 'UTC';
  return ceilings.flatMap(({ scope, agent, window, ...most }) => {
    if (scope === 'agent' && agent !== undefined && agent !== by.agent) return [];
    const { start, end } = windowAt(window, call.at, zone);
    const counted = countedAs(scope, call, by);
    const limit = (unit: 'calls' | 'cost', units: number, atMost: number): Limit => {
      const name = unit === 'cost' ? `cost\n${counted}` : counted;
      const token = name === 'tenant' ? name : points.scopeToken(name);
      const counter = SUBJECTS.counter(window, call.tenant, token, start);
      const reason = 'budget.exhausted';
      return {
        window,
        counter,
        scope,
        unit,
        units,
        limit: atMost,
        resetsAt: end,
        exhausted: reason,
      };
    };
    return [
      ...(most.calls === undefined ? [] : [limit('calls', 1, most.calls)]),
      ...(most.cost === undefined || cost === 0 ? [] : [limit('cost', cost, most.cost)]),
    ];
  });
}

/** Whose calls share a count. A session or task that the agent itself named is only its own. */
function countedAs(scope: Ceiling['scope'], { envelope }: Call, by: Principal): string {
  switch (scope) {
    case 'tenant':
      return 'tenant';
    case 'agent':
      return `agent\n${by.agent}`;
    case 'session':
      return `session\n${by.agent}\n${envelope.session_id ?? by.session}`;
    case 'task':
      return by.task === '' ? `task\n${by.agent}\n${envelope.task_id ?? ''}` : `task\n\n${by.task}`;
  }
}

/** Every limit in the chain of a capability has its own counter, so a child draws on its parent's count too. */
export function capabilityLimits(
  points: Pick<BudgetPoints, 'scopeToken'>,
  call: Call,
  under: Pick<Held, 'callLimits' | 'amountLimits'>,
): Limit[] {
  const { callLimits, amountLimits } = under;
  if (callLimits.length === 0 && amountLimits.length === 0) return [];
  const common = {
    window: 'capability',
    scope: 'capability',
    exhausted: 'budget.capability_exhausted',
  } as const;
  const counter = (link: string) =>
    SUBJECTS.counter('capability', call.tenant, points.scopeToken(link), 0);
  return [
    ...callLimits.map(({ link, calls, expiresAt }): Limit => ({
      ...common,
      counter: counter(link),
      unit: 'calls',
      units: 1,
      limit: calls,
      resetsAt: expiresAt,
    })),
    ...amountLimits.flatMap(({ link, path, total, expiresAt }): Limit[] => {
      const amount = argumentAt(call.arguments, path);
      // Of a call it was judged before: the argument is there, a number, and not below 0.
      const units = typeof amount === 'number' ? microUnits(amount) : Number.POSITIVE_INFINITY;
      if (units === 0) return [];
      const limit = { unit: 'amount', units, limit: total, resetsAt: expiresAt } as const;
      return [{ ...common, ...limit, counter: counter(link) }];
    }),
  ];
}

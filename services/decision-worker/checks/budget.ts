/**
 * Fifth check. Reserves this call's share of every ceiling that applies, by counters added to in parallel and
 * compared; what was added is given back when any of them is over. Never over: the counter says what it was at the
 * moment of adding, so of any race exactly the first ones fit.
 * Cost: one round to the broker where a ceiling applies, none otherwise.
 */
import type { BudgetShare } from '#contracts/call.ts';
import type { Ceiling, TenantSettings } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { Reason } from '#contracts/reasons.ts';
import { type BudgetWindow, SUBJECTS } from '#contracts/subjects.ts';

import { block, type Call, type Checks, type Held, pass, type Principal } from '../decide.ts';
import { windowAt } from './windows.ts';

export interface BudgetPoints {
  readonly ceilings: (tenant: TenantId) => readonly Ceiling[];
  readonly settings: (tenant: TenantId) => TenantSettings;
  /** Adds one and gives the value after it. Rejects when the broker does not acknowledge. */
  readonly add: (subject: string) => Promise<number>;
  /** Takes one back, in the background. */
  readonly refund: (subject: string) => void;
  readonly scopeToken: (text: string) => string;
}

interface Counter {
  readonly window: BudgetWindow;
  readonly subject: string;
  readonly scope: string;
  readonly limit: number;
  readonly resetsAt: number;
  readonly exhausted: Reason;
}

const NOTHING = pass({ shares: [], refund: () => undefined });

/** The check over its points. */
export function budgetCheck(points: BudgetPoints): Checks['budget'] {
  return async (call, by, under) => {
    if (call.envelope.ask === 'evaluate') return NOTHING; // asks whether, and nothing runs
    const counters = lowest([
      ...ceilingCounters(points, call, by),
      ...capabilityCounters(points, call, under),
    ]);
    if (counters.length === 0) return NOTHING;
    const added = await Promise.allSettled(counters.map(({ subject }) => points.add(subject)));
    const refund = () => {
      for (const [index, { subject }] of counters.entries()) {
        if (added[index]?.status === 'fulfilled') points.refund(subject);
      }
    };
    const shares: BudgetShare[] = [];
    let over: Counter | undefined;
    for (const [index, counter] of counters.entries()) {
      const result = added[index];
      if (result?.status !== 'fulfilled') {
        refund();
        return block('budget.unavailable', 'a counter did not answer');
      }
      if (result.value > counter.limit) over ??= counter;
      shares.push(share(counter, result.value));
    }
    if (over !== undefined) {
      refund();
      return block(over.exhausted, `${over.scope} ${over.window}: ${over.limit}`);
    }
    return pass({ shares, refund });
  };
}

/** One counter for each subject, with the lowest limit: a ceiling of all agents and one of this agent count the same calls. */
function lowest(counters: readonly Counter[]): Counter[] {
  const bySubject = new Map<string, Counter>();
  for (const counter of counters) {
    const known = bySubject.get(counter.subject);
    if (known === undefined || counter.limit < known.limit) bySubject.set(counter.subject, counter);
  }
  return [...bySubject.values()];
}

function share(counter: Counter, used: number): BudgetShare {
  return {
    limit: counter.limit,
    resets_at: new Date(counter.resetsAt).toISOString(),
    scope: counter.scope,
    used,
    window: counter.window,
  };
}

function ceilingCounters(points: BudgetPoints, call: Call, by: Principal): Counter[] {
  const ceilings = points.ceilings(call.tenant);
  if (ceilings.length === 0) return [];
  const zone = points.settings(call.tenant).time_zone ?? 'UTC';
  return ceilings
    .filter(({ scope, agent }) => scope === 'tenant' || agent === undefined || agent === by.agent)
    .map(({ scope, window, calls }) => {
      const { start, end } = windowAt(window, call.at, zone);
      const counted = scope === 'tenant' ? 'tenant' : points.scopeToken(`agent\n${by.agent}`);
      return {
        window,
        subject: SUBJECTS.counter(window, call.tenant, counted, start),
        scope,
        limit: calls,
        resetsAt: end,
        exhausted: 'budget.exhausted',
      };
    });
}

/** Every call limit in the chain of a capability has its own counter, so a child draws on its parent's count too. */
function capabilityCounters(points: BudgetPoints, call: Call, under: Held): Counter[] {
  return under.callLimits.map(({ link, calls, expiresAt }) => ({
    window: 'capability',
    subject: SUBJECTS.counter('capability', call.tenant, points.scopeToken(link), 0),
    scope: 'capability',
    limit: calls,
    resetsAt: expiresAt,
    exhausted: 'budget.capability_exhausted',
  }));
}

/**
 * Part of the fifth check, for classes of agents that opted in: an agent has run away when it repeats the same call, or
 * calls far above its own habit. Both are limits on counters of the current minute, so they hold over all workers.
 */
import type { RunawayRule } from '#contracts/ceilings.ts';
import { SUBJECTS } from '#contracts/subjects.ts';

import type { Call, Principal } from '../decide.ts';
import { hashOfCall } from '../record.ts';
import type { Limit } from './budget.ts';
import { windowAt } from './windows.ts';

export interface RunawayPoints {
  /** The value of a counter now. Rejects when the broker cannot be asked. */
  readonly peek: (counter: string) => Promise<number>;
  readonly scopeToken: (text: string) => string;
}

const MINUTE_MS = 60_000;
/** Counters of minutes are kept for ten. */
const HABIT_MINUTES = 9;
const AT_LEAST = 60;
const HABITS_MAX = 10_000;

/** The limits of the rule for the caller's class. */
export type RunawayLimits = (rule: RunawayRule, call: Call, by: Principal) => Promise<Limit[]>;

export function runawayLimits(points: RunawayPoints): RunawayLimits {
  const habitOf = habits(points.peek);
  return async (rule, call, by) => {
    const { start, end } = windowAt('minute', call.at, 'UTC');
    const counter = (name: string, at: number) =>
      SUBJECTS.counter('minute', call.tenant, points.scopeToken(name), at);
    const limit = (scope: string, name: string, atMost: number): Limit => ({
      window: 'minute',
      counter: counter(name, start),
      scope,
      unit: 'calls',
      units: 1,
      limit: atMost,
      resetsAt: end,
      exhausted: 'budget.runaway',
    });
    const { repeats, times_habit: times, at_least: atLeast = AT_LEAST } = rule;
    const limits: Limit[] = [];
    if (repeats !== undefined) {
      const session = call.envelope.session_id ?? by.session;
      const name = `repeat\n${by.agent}\n${session}\n${hashOfCall(call)}`;
      limits.push(limit('repeats', name, repeats));
    }
    if (times !== undefined) {
      // The count that a ceiling of calls per minute for this agent has as well.
      const name = `agent\n${by.agent}`;
      const habit = await habitOf(counter(name, start), (back) =>
        counter(name, start - back * MINUTE_MS),
      );
      limits.push(limit('habit', name, Math.max(atLeast, Math.floor(times * habit))));
    }
    return limits;
  };
}

/** Mean of the last minutes in which there were calls, 0 without any; read once a minute for each counter. */
function habits(
  peek: RunawayPoints['peek'],
): (now: string, before: (minutesBack: number) => string) => Promise<number> {
  const known = new Map<string, Promise<number>>();
  return (now, before) => {
    const kept = known.get(now);
    if (kept !== undefined) return kept;
    if (known.size >= HABITS_MAX) known.clear();
    const minutes = Array.from({ length: HABIT_MINUTES }, (_, index) => peek(before(index + 1)));
    const reading = Promise.all(minutes).then((counts) => {
      const active = counts.filter((count) => count > 0);
      return active.reduce((sum, count) => sum + count, 0) / Math.max(1, active.length);
    });
    known.set(now, reading);
    reading.catch(() => known.delete(now));
    return reading;
  };
}

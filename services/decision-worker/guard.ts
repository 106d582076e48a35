/**
 * Observation and fail-closed around the five checks, from outside and once: duration, metric, trace, and a throw
 * becomes a block with `<check>.unavailable`. The checks themselves know none of it.
 */
import type { Check } from '#contracts/reasons.ts';
import type { Tally } from '#host/metrics.ts';

import { unknown } from './checks/approval.ts';
import { block, type Call, type Checked, type Checks } from './decide.ts';

type Stage = Extract<Check, 'identity' | 'capability' | 'intent' | 'policy' | 'budget'>;

export interface Observer {
  readonly runs: Tally<{ check: string; ok: boolean }>;
  readonly seconds: Tally<{ check: string; ok: boolean }>;
  readonly failures: Tally<{ check: string }>;
  readonly onError: (check: Stage | 'approval', error: unknown) => void;
}

/** The same checks, observed, and closed against anything they throw. */
export function guarded(checks: Checks, observer: Observer): Checks {
  const around = <Rest extends unknown[], T>(
    check: Stage,
    run: (call: Call, ...rest: Rest) => Promise<Checked<T>>,
  ) => {
    const passed = tallied(observer, { check, ok: true });
    const stopped = tallied(observer, { check, ok: false });
    return async (call: Call, ...rest: Rest): Promise<Checked<T>> => {
      const start = performance.now();
      let result: Checked<T>;
      try {
        result = await run(call, ...rest);
      } catch (error) {
        observer.onError(check, error);
        observer.failures.add(1, { check });
        result = block(`${check}.unavailable`, String(error));
      }
      const micros = Math.round((performance.now() - start) * 1_000);
      call.trace.push({ check, micros, ok: result.ok, reason: result.ok ? '' : result.reason });
      (result.ok ? passed : stopped)(micros);
      return result;
    };
  };
  return {
    identity: around('identity', checks.identity),
    capability: around('capability', checks.capability),
    intent: around('intent', checks.intent),
    policy: around('policy', checks.policy),
    // Who cannot look is told that the call is held, which it is; approval-escalation knows whether it was before.
    approval: async (call, by, held) =>
      checks.approval(call, by, held).catch((error: unknown) => {
        observer.onError('approval', error);
        observer.failures.add(1, { check: 'approval' });
        return unknown(held);
      }),
    budget: around('budget', checks.budget),
  };
}

function tallied({ runs, seconds }: Observer, labels: { check: string; ok: boolean }) {
  const [count, time] = [runs.at(labels), seconds.at(labels)];
  return (micros: number): void => {
    count(1);
    time(micros / 1e6);
  };
}

/** What is measured of calls: how many ended how, and how long an answer took. Never ids, tenants or tools. */
import type { Reason } from '#contracts/reasons.ts';
import { counter, gauge, seconds } from '#host/metrics.ts';

import type { Measure } from './entry.ts';

/** Registers the metrics of the ingress. @param inFlight calls that wait for an answer now */
export function createMeasure(inFlight: () => number): {
  readonly measure: Measure;
  readonly onStray: () => void;
  readonly onRefused: (code: Reason) => void;
} {
  const calls = counter<{ via: string; code: string; verdict: string }>(
    'countersign_calls',
    'Calls by the way they came in, verdict and reason.',
  );
  const durations = seconds<{ via: string }>(
    'countersign_call_duration_seconds',
    'From the admission of a call to the answer of a worker.',
  );
  const refused = counter<{ code: string }>(
    'countersign_requests_refused',
    'Requests that were refused before a worker was asked, by reason.',
  );
  const strays = counter('countersign_answers_stray', 'Answers that nobody waited for any more.');
  gauge('countersign_calls_waiting', 'Calls that wait for an answer.', inFlight);
  return {
    measure: (via, answer, tookMs) => {
      if (answer.kind === 'decided') {
        const { verdict, reason } = answer.body;
        calls.add(1, { via, verdict, code: reason.code });
      } else if (answer.kind === 'refused') {
        calls.add(1, { via, verdict: 'refused', code: answer.code });
      }
      durations.record(tookMs / 1_000, { via });
    },
    onStray: () => strays.add(1),
    onRefused: (code) => refused.add(1, { code }),
  };
}

/** The trace of one decision: a span for the whole, below it one for each check and one for the recording. */
import type { WorkerAnswer } from '#contracts/call.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { OpenSpan, Tracing } from '#host/tracing.ts';

import type { Call } from './decide.ts';

/** Opens the span of a call, below the one of its ingress. Messaging conventions; subject template, never a tenant. */
export function beginSpan(tracing: Tracing, call: Call): OpenSpan {
  return tracing.begin('decide', 'consumer', {
    parent: call.envelope.traceparent ?? '',
    attributes: {
      'messaging.system': 'nats',
      'messaging.operation.type': 'process',
      'messaging.destination.template': SUBJECTS.callTemplate,
    },
  });
}

/** Ends it with what each check took; `gen_ai.tool.name` is the tool, ids stay out of names. */
export function endSpan(span: OpenSpan, call: Call, answer: WorkerAnswer): void {
  let at = call.at;
  for (const { check, micros, ok, reason } of call.trace) {
    const endMs = at + micros / 1_000;
    span.stage({ name: `check ${check}`, startMs: at, endMs, attributes: { ok, reason } });
    at = endMs;
  }
  if (answer.kind !== 'decided') {
    span.end({ 'countersign.reason': answer.kind === 'refused' ? answer.code : '' });
    return;
  }
  span.stage({ name: 'record', startMs: at, endMs: Math.max(at, Date.now()) });
  span.end({
    'gen_ai.tool.name': call.envelope.tool,
    'countersign.decision_id': answer.body.decision_id,
    'countersign.verdict': answer.body.verdict,
    'countersign.reason': answer.body.reason.code,
  });
}

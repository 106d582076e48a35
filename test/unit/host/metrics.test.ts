import { expect, it } from 'vitest';

import { counter, gauge, gauges, metricsText, seconds } from '#host/metrics.ts';

it('shows every kind of metric in Prometheus form, and no series before its first value', async () => {
  const calls = counter<{ verdict: string; reason: string }>('calls', 'Calls.');
  counter('none', 'Never counted.');
  const took = seconds<{ via: string }>('took_seconds', 'How long it took.');
  gauge('age_seconds', 'Age.', () => 2.5);
  gauges('lag', 'Lag.', () => [
    [1, { stream: 'A' }],
    [0, { stream: 'B "b"' }],
  ]);
  calls.add(1, { verdict: 'allow', reason: 'x' });
  const blocked = calls.at({ verdict: 'block', reason: 'y' });
  calls.at({ verdict: 'held', reason: 'z' });
  blocked(2);
  blocked(3);
  for (const value of [0.000_05, 0.2, 11]) took.record(value, { via: 'http' });
  const text = await metricsText();
  expect(text).toMatchInlineSnapshot(`
    "# HELP target_info Target metadata
    # TYPE target_info gauge
    target_info{service_namespace="countersign"} 1
    # HELP calls_total Calls.
    # TYPE calls_total counter
    calls_total{verdict="allow",reason="x",otel_scope_name="countersign"} 1
    calls_total{verdict="block",reason="y",otel_scope_name="countersign"} 5
    # HELP took_seconds How long it took.
    # UNIT took_seconds s
    # TYPE took_seconds histogram
    took_seconds_count{via="http",otel_scope_name="countersign"} 3
    took_seconds_sum{via="http",otel_scope_name="countersign"} 11.20005
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.00005"} 1
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.0001"} 1
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.00025"} 1
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.0005"} 1
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.001"} 1
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.0025"} 1
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.005"} 1
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.01"} 1
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.025"} 1
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.05"} 1
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.1"} 1
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="0.25"} 2
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="1"} 2
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="10"} 2
    took_seconds_bucket{via="http",otel_scope_name="countersign",le="+Inf"} 3
    # HELP age_seconds Age.
    # TYPE age_seconds gauge
    age_seconds{otel_scope_name="countersign"} 2.5
    # HELP lag Lag.
    # TYPE lag gauge
    lag{stream="A",otel_scope_name="countersign"} 1
    lag{stream="B \\"b\\"",otel_scope_name="countersign"} 0
    "
  `);
});

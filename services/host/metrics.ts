/**
 * Metrics of a process, by OpenTelemetry, read at /metrics in Prometheus form. Labels are bounded: check, verdict,
 * reason, stream; never ids, tenants or tools.
 */
import type { Attributes, Histogram } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider } from '@opentelemetry/sdk-metrics';

const reader = new PrometheusExporter({ preventServerStart: true });
const provider = new MeterProvider({
  // Explicit and empty: detectors would print host id and command line.
  resource: resourceFromAttributes({ 'service.namespace': 'countersign' }),
  readers: [reader],
});
const meter = provider.getMeter('countersign');
const serializer = new PrometheusSerializer();

/** Adds up by labels. */
export interface Tally<Labels extends Attributes = Attributes> {
  readonly add: (amount: number, labels?: Labels) => void;
  /** The same for one set of labels, without a look-up at each call. */
  readonly at: (labels: Labels) => (amount: number) => void;
}

/**
 * A counter; name ends in its unit, `_total` is added. Sums stand in memory until somebody reads: an instrument of the
 * library sorts and joins the labels at each call, eight microseconds of a decision.
 */
export function counter<Labels extends Attributes>(
  name: string,
  description: string,
): Tally<Labels> {
  const sums = new Map<string, { readonly labels: Labels | undefined; sum: number }>();
  meter.createObservableCounter(name, { description }).addCallback((result) => {
    for (const { labels, sum } of sums.values()) result.observe(sum, labels);
  });
  const sumOf = (labels: Labels | undefined) => {
    const key = labels === undefined ? '' : Object.values(labels).join('\n');
    let known = sums.get(key);
    if (known === undefined) sums.set(key, (known = { labels, sum: 0 }));
    return known;
  };
  return {
    add: (amount, labels) => {
      sumOf(labels).sum += amount;
    },
    at: (labels) => {
      let found: { sum: number } | undefined; // not before the first amount: no empty series
      return (amount) => {
        found ??= sumOf(labels);
        found.sum += amount;
      };
    },
  };
}

/** A histogram of seconds with bounds from 50 microseconds to 10 s. */
export function seconds<Labels extends Attributes>(
  name: string,
  description: string,
): Histogram<Labels> {
  return meter.createHistogram<Labels>(name, {
    description,
    unit: 's',
    advice: {
      explicitBucketBoundaries: [
        0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
        1, 10,
      ],
    },
  });
}

/** A value that is read when somebody looks. */
export function gauge(name: string, description: string, read: () => number): void {
  meter
    .createObservableGauge(name, { description })
    .addCallback((result) => result.observe(read()));
}

/** Values with labels that are read when somebody looks. */
export function gauges<Labels extends Attributes>(
  name: string,
  description: string,
  read: () => Iterable<readonly [value: number, labels: Labels]>,
): void {
  meter.createObservableGauge<Labels>(name, { description }).addCallback((result) => {
    for (const [value, labels] of read()) result.observe(value, labels);
  });
}

/** Everything measured so far, in the Prometheus text format. */
export async function metricsText(): Promise<string> {
  const { resourceMetrics } = await reader.collect();
  return serializer.serialize(resourceMetrics);
}

/**
 * Metrics of a process, read at /metrics in Prometheus form. Labels are bounded: check, verdict, reason, stream; never
 * ids, tenants or tools. Values stand in memory as plain numbers until somebody reads them, in OpenTelemetry's model
 * and with its serializer, which is loaded at the first read: its instruments sort and join labels at each call, eight
 * microseconds of a decision, and loading its SDK is a tenth of a process's start.
 */
import type { Attributes } from '@opentelemetry/api';
import type { DataPointType, MetricData } from '@opentelemetry/sdk-metrics';

/** Adds up by labels. */
export interface Tally<Labels extends Attributes = Attributes> {
  readonly add: (amount: number, labels?: Labels) => void;
  /** The same for one set of labels, without a look-up at each call. */
  readonly at: (labels: Labels) => (amount: number) => void;
}

/** Counts values in ranges, by labels. */
export interface Distribution<Labels extends Attributes> {
  readonly record: (value: number, labels: Labels) => void;
}

interface Instrument {
  readonly name: string;
  readonly description: string;
  readonly unit?: string;
  readonly type: keyof typeof DataPointType;
  readonly read: () => Iterable<readonly [value: unknown, labels: Attributes]>;
}

const instruments: Instrument[] = [];

/** What `make` gave for each set of labels, in the order of their first use. Labels of one metric have one order. */
function byLabels<Labels extends Attributes, Kept>(make: () => Kept) {
  const known = new Map<string, { readonly kept: Kept; readonly labels: Attributes }>();
  const of = (labels: Labels | undefined): Kept => {
    const key = labels === undefined ? '' : Object.values(labels).join('\n');
    let found = known.get(key);
    if (found === undefined) known.set(key, (found = { kept: make(), labels: labels ?? {} }));
    return found.kept;
  };
  return { of, all: () => known.values() };
}

/** A counter; name ends in its unit, `_total` is added. */
export function counter<Labels extends Attributes>(
  name: string,
  description: string,
): Tally<Labels> {
  const sums = byLabels<Labels, { sum: number }>(() => ({ sum: 0 }));
  const read = () => Array.from(sums.all(), ({ kept, labels }) => [kept.sum, labels] as const);
  instruments.push({ name, description, type: 'SUM', read });
  return {
    add: (amount, labels) => {
      sums.of(labels).sum += amount;
    },
    at: (labels) => {
      let found: { sum: number } | undefined; // not before the first amount: no empty series
      return (amount) => {
        found ??= sums.of(labels);
        found.sum += amount;
      };
    },
  };
}

const SECONDS = [
  0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10,
];

/** A histogram of seconds with bounds from 50 microseconds to 10 s. */
export function seconds<Labels extends Attributes>(
  name: string,
  description: string,
): Distribution<Labels> {
  const kept = byLabels<Labels, { sum: number; count: number; readonly counts: number[] }>(() => ({
    sum: 0,
    count: 0,
    counts: Array.from({ length: SECONDS.length + 1 }, () => 0),
  }));
  const read = () =>
    Array.from(kept.all(), ({ kept: { sum, count, counts }, labels }) => {
      const buckets = { boundaries: SECONDS, counts };
      return [{ sum, count, buckets }, labels] as const;
    });
  instruments.push({ name, description, unit: 's', type: 'HISTOGRAM', read });
  return {
    record: (value, labels) => {
      const of = kept.of(labels);
      const range = SECONDS.findIndex((bound) => value <= bound);
      const index = range < 0 ? SECONDS.length : range;
      of.counts[index] = (of.counts[index] ?? 0) + 1;
      of.count += 1;
      of.sum += value;
    },
  };
}

/** A value that is read when somebody looks. */
export function gauge(name: string, description: string, read: () => number): void {
  instruments.push({ name, description, type: 'GAUGE', read: () => [[read(), {}]] });
}

/** Values with labels that are read when somebody looks. */
export function gauges<Labels extends Attributes>(
  name: string,
  description: string,
  read: () => Iterable<readonly [value: number, labels: Labels]>,
): void {
  instruments.push({ name, description, type: 'GAUGE', read });
}

/** The Prometheus form has none. */
const NO_TIME = [0, 0];

/** The serializer would print the head of a metric that has no value yet. */
const hasPoints = ({ dataPoints }: MetricData) => dataPoints.length > 0;

/** Everything measured so far, in the Prometheus text format. */
export async function metricsText(): Promise<string> {
  const [
    { PrometheusSerializer },
    { resourceFromAttributes },
    { AggregationTemporality, DataPointType: types },
  ] = await Promise.all([
    import('@opentelemetry/exporter-prometheus'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-metrics'),
  ]);
  const metrics = instruments.map(({ type, read, unit = '', ...named }) => ({
    descriptor: { ...named, unit },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: types[type],
    isMonotonic: true,
    dataPoints: Array.from(read(), ([value, attributes]) => ({
      startTime: NO_TIME,
      endTime: NO_TIME,
      attributes,
      value,
    })),
  })) as unknown as MetricData[];
  // Explicit and without detectors, which would print host id and command line.
  const resource = resourceFromAttributes({ 'service.namespace': 'countersign' });
  return new PrometheusSerializer().serialize({
    resource,
    scopeMetrics: [{ scope: { name: 'countersign' }, metrics: metrics.filter(hasPoints) }],
  });
}

// Latencies in buckets that grow with the value (log-linear, as HdrHistogram): at most 0.8 % off, constant memory.

/** Buckets of one microsecond at the low end; each doubling above has half as many. */
const STEPS = 128;
const MICROS_MAX = 2 ** 31 - 1;

/** Percentiles of a histogram, in milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export class Histogram {
  readonly #counts = new Uint32Array(bucketOf(MICROS_MAX) + 1);
  #total = 0;
  #max = 0;

  /** @param ms milliseconds; below zero counts as zero */
  record(ms: number): void {
    this.#counts[bucketOf(ms * 1_000)]! += 1;
    this.#total += 1;
    if (ms > this.#max) this.#max = ms;
  }

  get total(): number {
    return this.#total;
  }

  /** Upper end of the bucket that holds the q-quantile, in milliseconds; 0 when nothing was recorded. */
  quantile(q: number): number {
    const rank = Math.ceil(this.#total * q);
    let seen = 0;
    for (let bucket = 0; bucket < this.#counts.length; bucket += 1) {
      seen += this.#counts[bucket]!;
      if (seen >= rank && seen > 0) return Math.min(this.#max, endOf(bucket) / 1_000);
    }
    return this.#max;
  }

  latency(): Latency {
    return {
      p50: this.quantile(0.5),
      p90: this.quantile(0.9),
      p99: this.quantile(0.99),
      p999: this.quantile(0.999),
      max: this.#max,
    };
  }
}

function bucketOf(micros: number): number {
  const value = Math.min(Math.max(0, Math.floor(micros)), MICROS_MAX);
  const doubling = Math.max(0, Math.clz32(STEPS - 1) - Math.clz32(value));
  return (doubling * STEPS) / 2 + (value >>> doubling);
}

function endOf(bucket: number): number {
  const doubling = Math.max(0, Math.floor(bucket / (STEPS / 2)) - 1);
  return (bucket - (doubling * STEPS) / 2 + 1) * 2 ** doubling;
}

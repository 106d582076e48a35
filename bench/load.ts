// The load generator: a process of its own, so that what it costs is not counted as the system's. One job at a time
// by IPC. Open loop: a fixed arrival rate, latency from the intended send time. Closed loop: N connections, each
// sends when its answer came.

import { appendFileSync } from 'node:fs';

import { Histogram, type Latency } from './histogram.ts';
import { Connection, requestBytes } from './http-client.ts';
import { clock, pace } from './pace.ts';

export type LoadMode =
  | { readonly kind: 'open'; readonly perSecond: number }
  | { readonly kind: 'closed'; readonly connections: number };

export interface LoadJob {
  readonly url: string;
  readonly mode: LoadMode;
  /** Not measured. */
  readonly warmSeconds: number;
  readonly seconds: number;
  /** Sent in turn. */
  readonly requests: readonly {
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
  }[];
  /** Of the open loop, at most; an arrival beyond waits, and its wait counts. */
  readonly connectionsMax?: number;
  /** Takes the `decision_id` of every answer, those of the warm-up too: one line each. */
  readonly idsFile?: string;
}

export interface LoadResult {
  /** Answers of status 200. */
  readonly latency: Latency;
  /** All other answers. */
  readonly refusals: Latency;
  /** Answers of status 200 a second. */
  readonly achieved: number;
  readonly answers: number;
  /** Requests in all, those of the warm-up too. */
  readonly sent: number;
  /** How many answers ended how: `200 allow`, `503 service.overloaded`, `0` for none. */
  readonly ends: Readonly<Record<string, number>>;
  /** Of this process in the measured time, in milliseconds. */
  readonly cpuMs: number;
  readonly seconds: number;
}

/** What this process tells: the measured time begins and ends, the result. */
export type LoadTold =
  | { readonly event: 'ready' | 'begin' | 'end' }
  | { readonly event: 'result'; readonly result: LoadResult };

/** Bytes in a body that become another 16 digits in every request: a call id of its own. */
export const FRESH = '{{fresh 16 hex}}';
const CONNECTIONS_MAX = 1_024;
const SWEEP_MS = 250;

class Load {
  readonly #job: LoadJob;
  readonly #requests: readonly Buffer[];
  readonly #freshAt: readonly number[];
  readonly #latency = new Histogram();
  readonly #refusals = new Histogram();
  readonly #ends: Record<string, number> = {};
  readonly #connections: Connection[] = [];
  #ids: string[] = [];
  readonly #idle: Connection[] = [];
  /** Intended times of arrivals that found no connection. */
  readonly #queue: number[] = [];
  #queueHead = 0;
  #sent = 0;
  #measuring = false;
  #sending = true;
  #open = 0;

  constructor(job: LoadJob) {
    this.#job = job;
    const url = new URL(job.url);
    this.#requests = job.requests.map(({ headers, body }) => requestBytes(url, headers, body));
    this.#freshAt = this.#requests.map((request) => request.indexOf(FRESH));
  }

  async run(tell: (told: LoadTold) => void): Promise<LoadResult> {
    const { mode, warmSeconds, seconds } = this.#job;
    const sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    let cpu = process.cpuUsage();
    let from = clock();
    const begin = setTimeout(() => {
      this.#measuring = true;
      cpu = process.cpuUsage();
      from = clock();
      tell({ event: 'begin' });
    }, warmSeconds * 1_000);
    if (mode.kind === 'open') {
      await pace(mode.perSecond, warmSeconds + seconds, (at) => this.#arrive(at));
    } else {
      for (let count = 0; count < mode.connections; count += 1) this.#again(this.#connection());
      await new Promise((resolve) => setTimeout(resolve, (warmSeconds + seconds) * 1_000));
    }
    tell({ event: 'end' });
    clearTimeout(begin);
    const took = (clock() - from) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    this.#sending = false;
    const answers = this.#latency.total;
    // What is still on its way was sent in the measured time; an open loop that left it out would flatter.
    while (this.#open > 0 || this.#queueHead < this.#queue.length)
      await new Promise((r) => setTimeout(r, 5));
    clearInterval(sweeper);
    for (const connection of this.#connections) connection.close();
    this.#saveIds();
    return {
      latency: this.#latency.latency(),
      refusals: this.#refusals.latency(),
      achieved: answers / took,
      answers: this.#latency.total,
      sent: this.#sent,
      ends: this.#ends,
      cpuMs: (user + system) / 1_000,
      seconds: took,
    };
  }

  /** One arrival of the open loop. */
  #arrive(intended: number): void {
    const connection = this.#idle.pop() ?? this.#connectionWithin();
    if (connection === undefined) this.#queue.push(intended);
    else this.#ask(connection, intended);
  }

  #connectionWithin(): Connection | undefined {
    const { connectionsMax = CONNECTIONS_MAX } = this.#job;
    return this.#connections.length < connectionsMax ? this.#connection() : undefined;
  }

  #connection(): Connection {
    const connection = new Connection(new URL(this.#job.url));
    this.#connections.push(connection);
    return connection;
  }

  #ask(connection: Connection, from: number): void {
    this.#open += 1;
    const measured = this.#measuring;
    connection.send(this.#next(), (status, body) => {
      this.#open -= 1;
      this.#took({ status, body, ms: clock() - from, measured });
      this.#freed(connection);
    });
  }

  #freed(connection: Connection): void {
    if (this.#job.mode.kind === 'closed') this.#again(connection);
    else {
      const waiting = this.#queue[this.#queueHead];
      if (waiting === undefined) this.#idle.push(connection);
      else {
        this.#queueHead += 1;
        this.#ask(connection, waiting);
      }
    }
  }

  /** One turn of a closed loop. */
  #again(connection: Connection): void {
    if (this.#sending) this.#ask(connection, clock());
  }

  #next(): Buffer {
    const index = this.#sent % this.#requests.length;
    const request = this.#requests[index]!;
    const at = this.#freshAt[index]!;
    this.#sent += 1;
    if (at < 0) return request;
    const own = Buffer.from(request);
    own.write(freshHex(), at, 'latin1');
    return own;
  }

  #took(answer: { status: number; body: string; ms: number; measured: boolean }): void {
    const { status, body, ms, measured } = answer;
    if (this.#job.idsFile !== undefined) this.#keepId(body);
    if (!measured) return;
    (status === 200 ? this.#latency : this.#refusals).record(ms);
    const end = `${status} ${valueOf(body, status === 200 ? '"verdict":"' : '"code":"')}`.trim();
    this.#ends[end] = (this.#ends[end] ?? 0) + 1;
  }

  #keepId(body: string): void {
    const id = valueOf(body, '"decision_id":"');
    if (id === '') return;
    this.#ids.push(id);
    if (this.#ids.length === 10_000) this.#saveIds();
  }

  #saveIds(): void {
    if (this.#job.idsFile === undefined || this.#ids.length === 0) return;
    appendFileSync(this.#job.idsFile, `${this.#ids.join('\n')}\n`);
    this.#ids = [];
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of this.#connections) connection.sweep(now);
  }
}

/** What stands after a mark that ends in a quote, up to the next quote; empty when the mark is not there. */
function valueOf(body: string, mark: string): string {
  const at = body.indexOf(mark);
  return at < 0 ? '' : body.slice(at + mark.length, body.indexOf('"', at + mark.length));
}

const run = process.pid.toString(16).padStart(6, '0').slice(-6);
let fresh = Date.now() % 0xfffff;
const freshHex = () => run + (fresh += 1).toString(16).padStart(10, '0');

process.on('message', (job: LoadJob) => {
  const tell = (told: LoadTold) => process.send?.(told);
  void new Load(job).run(tell).then((result) => tell({ event: 'result', result }));
});
process.send?.({ event: 'ready' } satisfies LoadTold);

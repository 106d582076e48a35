// The two parts of the floor that are no HTTP: a request-reply echo over the bus, and records that are published
// durably in groups, as a process does that does nothing else. Open loop at a fixed rate.

import { type BusOptions, connectBus } from '#host/nats.ts';
import type { Bus } from '#host/nats.ts';

import { Histogram, type Latency } from './histogram.ts';
import { clock, pace } from './pace.ts';

export interface BusJob {
  readonly part: 'request' | 'publish';
  readonly bus: BusOptions;
  readonly subject: string;
  readonly bytes: number;
  readonly perSecond: number;
  readonly warmSeconds: number;
  readonly seconds: number;
}

/** Resolves when the answer, or the acknowledgement, is there. */
type Send = () => Promise<unknown>;

const IN_FLIGHT_MAX = 2;
const GROUP_MAX = 128;

function requester(bus: Bus, { subject, bytes }: BusJob): Send {
  const inbox = `${bus.inbox}.bench.${process.pid}.`;
  const waiting = new Map<string, (value: unknown) => void>();
  bus.subscribe(`${inbox}*`, {}, (message) => {
    waiting.get(message.subject)?.(message);
    waiting.delete(message.subject);
  });
  const body = Buffer.alloc(bytes, 'x');
  let count = 0;
  return () =>
    new Promise((resolve) => {
      const reply = inbox + (count += 1).toString(36);
      waiting.set(reply, resolve);
      bus.publish(subject, body, reply);
    });
}

function publisher(bus: Bus, { subject, bytes }: BusJob): Send {
  const inbox = `${bus.inbox}.bench.${process.pid}.`;
  const flying = new Map<string, readonly (() => void)[]>();
  const record = 'x'.repeat(bytes);
  let waiting: (() => void)[] = [];
  let count = 0;
  const flush = () => {
    while (waiting.length > 0 && flying.size < IN_FLIGHT_MAX) {
      const group = waiting.splice(0, GROUP_MAX);
      const reply = inbox + (count += 1).toString(36);
      flying.set(reply, group);
      bus.publish(subject, record.repeat(group.length), reply);
    }
  };
  bus.subscribe(`${inbox}*`, {}, (message) => {
    const ack = message.json<{ readonly error?: { readonly description: string } }>();
    if (ack.error !== undefined) throw new Error(ack.error.description);
    for (const done of flying.get(message.subject) ?? []) done();
    flying.delete(message.subject);
    flush();
  });
  return () =>
    new Promise((resolve) => {
      waiting.push(() => resolve(undefined));
      flush();
    });
}

async function run(job: BusJob): Promise<Latency> {
  const bus = await connectBus(job.bus);
  const send = job.part === 'request' ? requester(bus, job) : publisher(bus, job);
  const { perSecond, warmSeconds, seconds } = job;
  const histogram = new Histogram();
  const pending = new Set<Promise<void>>();
  const measuredFrom = clock() + warmSeconds * 1_000;
  await pace(perSecond, warmSeconds + seconds, (intended) => {
    // From when it really left: these parts are added up, and the generator's lateness must not be counted thrice.
    const left = clock();
    const done = send().then(() => {
      if (intended >= measuredFrom) histogram.record(clock() - left);
      pending.delete(done);
    });
    pending.add(done);
  });
  await Promise.all(pending);
  await bus.close();
  return histogram.latency();
}

process.once('disconnect', () => process.exit(0));
process.on('message', (job: BusJob) => void run(job).then((latency) => process.send?.(latency)));
process.send?.('ready');

/**
 * The JetStream loop: pulls messages of a durable consumer in batches, hands them over, and is the only place that
 * acknowledges. Handlers answer what became of a batch; a throw means "again later".
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { type ConsumerName, CONSUMERS } from '#contracts/streams.ts';
import { HEADERS, pullSubject } from '#contracts/subjects.ts';

import type { Logger } from './log.ts';
import type { Bus, Msg } from './nats.ts';

/** A stored message as handlers see it. Untrusted until its MAC was checked. */
export interface Delivered {
  readonly subject: string;
  readonly body: Uint8Array;
  readonly mac: string;
  readonly sequence: number;
  /** 1 at the first delivery. */
  readonly deliveries: number;
  /** Milliseconds UTC when the stream stored it. */
  readonly storedAt: number;
  /** Messages behind this one that are not delivered yet. */
  readonly pending: number;
}

/** What became of a batch: done, or again after a pause, less the first `done` of its messages. */
export type Handled = 'done' | { readonly retryInMs: number; readonly done?: number };

export interface Consuming {
  readonly stop: () => Promise<void>;
  /** Messages that wait behind the last one seen. */
  readonly lag: () => number;
}

const RETRY_MS = 500;
const RESTART_MS = 100;
/** How long the broker keeps a pull open for which there is no message yet. */
const PULL_MS = 5_000;
/** A pull that the broker does not end by itself is lost. */
const PULL_LOST_MS = PULL_MS + 2_000;
/** After a pull that gave nothing: the broker may have refused it at once, as when too many messages are unacknowledged. */
const EMPTY_MS = 20;
/** One batch in memory, whatever the size of its messages. */
const PULL_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Consumes until stopped. A batch is what waits in the stream when it is pulled, at most `batchMax` messages.
 * Handlers MUST be idempotent, for a crash between handling and acknowledging delivers again.
 */
export function consume(
  bus: Bus,
  name: ConsumerName,
  options: {
    readonly batchMax: number;
    /**
     * Pause after a batch that took all there was; default 0. What arrives meanwhile costs one delivery together: at a
     * thousand messages a second that halves what the broker and this process spend on them.
     */
    readonly lingerMs?: number;
    /** While behind: pulls the next batch while one is handled. Two of them MUST fit the consumer's pendingMax. */
    readonly pullsAhead?: boolean;
    readonly log: Logger;
  },
  handle: (batch: readonly Delivered[]) => Promise<Handled>,
): Consuming {
  const { log, batchMax, lingerMs = 0, pullsAhead = false } = options;
  const stopping = new AbortController();
  const pulls = createPulls(bus, name, batchMax);
  let lag = 0;

  const settle = async (batch: readonly Pulled[]): Promise<Handled> => {
    const outcome = await handle(batch.map(({ delivered }) => delivered)).catch(
      (error: unknown): Handled => {
        log.error({ err: error, consumer: name }, 'batch failed; it will be delivered again');
        return { retryInMs: RETRY_MS };
      },
    );
    answer(batch, outcome);
    return outcome;
  };
  const answer = (batch: readonly Pulled[], outcome: Handled) => {
    const { retryInMs, done = 0 } =
      outcome === 'done' ? { retryInMs: 0, done: batch.length } : outcome;
    const again = `-NAK ${JSON.stringify({ delay: retryInMs * 1e6 })}`;
    for (const [at, { reply }] of batch.entries()) bus.publish(reply, at < done ? '+ACK' : again);
  };

  const loop = async () => {
    // The next batch, on its way while this one is handled; what fails of it, fails again.
    let ahead: Promise<readonly Pulled[]> | undefined;
    while (!stopping.signal.aborted) {
      try {
        const batch = await (ahead ?? pulls.next(stopping.signal));
        ahead = undefined;
        lag = batch.at(-1)?.delivered.pending ?? 0;
        const more = lag > 0 && endedByLimit(batch, batchMax);
        if (pullsAhead && more && !stopping.signal.aborted) {
          ahead = pulls.next(stopping.signal);
          ahead.catch(() => undefined);
        }
        const outcome = batch.length > 0 ? await settle(batch) : 'done';
        if (ahead !== undefined) {
          if (outcome === 'done') continue;
          // It would wait here too, beyond its ack wait.
          answer(await ahead, { retryInMs: outcome.retryInMs });
          ahead = undefined;
        }
        if (!more) {
          await pause(batch.length > 0 ? lingerMs : Math.max(lingerMs, EMPTY_MS), stopping.signal);
        }
      } catch (error) {
        ahead = undefined;
        log.warn({ err: error, consumer: name }, 'consumer lost; trying again');
        await pause(RESTART_MS, stopping.signal);
      }
    }
    // Whoever goes on need not wait for what was never looked at.
    answer((await ahead?.catch(() => [])) ?? [], { retryInMs: 0 });
  };
  const running = loop();
  return {
    lag: () => lag,
    stop: async () => {
      stopping.abort();
      await running;
      await pulls.close();
    },
  };
}

/** Not for want of messages. A batch that its size ended is not much below it: no message is above half of it. */
const endedByLimit = (batch: readonly Pulled[], batchMax: number): boolean =>
  batch.length >= batchMax ||
  batch.reduce((sum, { delivered: { body } }) => sum + body.length, 0) > PULL_BYTES_MAX / 2;

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  ms === 0 ? Promise.resolve() : sleep(ms, undefined, { signal }).catch(() => undefined);

/** A message and where its acknowledgement goes. */
interface Pulled {
  readonly reply: string;
  readonly delivered: Delivered;
}

interface Pulls {
  /** What waits now, or what arrives first within PULL_MS; empty when nothing does. @throws when the pull is lost */
  readonly next: (signal: AbortSignal) => Promise<readonly Pulled[]>;
  readonly close: () => Promise<void>;
}

/**
 * Pulls of one consumer, one after the other (ADR-13 of NATS): with `no_wait` and `expires` the broker waits for the
 * first message only, gives what it has in one go, and ends the pull with a status.
 */
function createPulls(bus: Bus, name: ConsumerName, batchMax: number): Pulls {
  const subject = pullSubject(CONSUMERS[name].stream, name);
  const request = JSON.stringify({
    batch: batchMax,
    max_bytes: PULL_BYTES_MAX,
    no_wait: true,
    expires: PULL_MS * 1e6,
  });
  const inbox = `${bus.inbox}.${randomBytes(9).toString('hex')}.`;
  let pulled: Pulled[] = [];
  let number = 0;
  let end: (fault: string) => void = () => undefined;
  const subscription = bus.subscribe(`${inbox}*`, {}, (message) => {
    // What an earlier pull gave too late is delivered again after its ack wait.
    if (message.subject !== inbox + number && message.reply === undefined) return;
    const status = message.headers?.code ?? 0;
    if (status !== 0) return end(ENDED.has(status) ? '' : `the pull ended with ${status}`);
    pulled.push({ reply: message.reply ?? '', delivered: delivered(message) });
    if (pulled.length >= batchMax) end('');
  });
  bus.onChange(() => end('the connection was lost'));
  return {
    next: (signal) =>
      new Promise((resolve, reject) => {
        pulled = [];
        number += 1;
        const stop = () => end('');
        const lost = setTimeout(() => end('the broker does not end the pull'), PULL_LOST_MS);
        end = (fault) => {
          end = () => undefined;
          clearTimeout(lost);
          signal.removeEventListener('abort', stop);
          // What came before the fault is as good as any: it is handled and acknowledged.
          if (fault === '' || pulled.length > 0) resolve(pulled);
          else reject(new Error(fault));
        };
        signal.addEventListener('abort', stop);
        if (bus.connected()) bus.publish(subject, request, inbox + number);
        else end('the bus is away');
      }),
    close: () => subscription.drain(),
  };
}

/** 404: no more messages; 408: none came in time; 409: the batch is full by its bytes, or the consumer moved. */
const ENDED = new Set([404, 408, 409]);

/**
 * The reply of a delivered message says where it stands: `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.
 * <consumer sequence>.<nanoseconds>.<pending>`, in newer servers with domain and account before the stream.
 */
function delivered(message: Msg): Delivered {
  const tokens = message.reply?.split('.') ?? [];
  const [deliveries, sequence, , nanoseconds, pending] = tokens
    .slice(tokens.length >= 11 ? 6 : 4)
    .map(Number);
  return {
    subject: message.subject,
    body: message.data,
    mac: message.headers?.get(HEADERS.mac) ?? '',
    sequence: sequence ?? 0,
    deliveries: deliveries ?? 1,
    storedAt: Math.floor((nanoseconds ?? 0) / 1e6),
    pending: pending ?? 0,
  };
}

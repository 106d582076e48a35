/**
 * The JetStream loop: fetches messages of a durable consumer, hands them over in batches, and is the only place
 * that acknowledges. Handlers answer what became of a batch; a throw means "again later".
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { type ConsumerName, CONSUMERS } from '#contracts/streams.ts';
import { HEADERS } from '#contracts/subjects.ts';

import type { Logger } from './log.ts';
import type { Bus, ConsumerMessages, JsMsg } from './nats.ts';

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

/** What became of a batch: done, or again after a pause. */
export type Handled = 'done' | { readonly retryInMs: number };

export interface Consuming {
  readonly stop: () => Promise<void>;
  /** Messages that wait behind the last one seen. */
  readonly lag: () => number;
}

const RETRY_MS = 500;
const RESTART_MS = 100;

/**
 * Consumes until stopped. A batch is what arrived while the last one was handled, at most `batchMax` messages.
 * All messages of a batch share its fate; handlers MUST be idempotent, for a crash between handling and
 * acknowledging delivers again.
 */
export function consume(
  bus: Bus,
  name: ConsumerName,
  options: {
    readonly batchMax: number;
    /** How long a batch waits for company, from its first message on; default 0. */
    readonly lingerMs?: number;
    readonly log: Logger;
  },
  handle: (batch: readonly Delivered[]) => Promise<Handled>,
): Consuming {
  const spec = CONSUMERS[name];
  const { log } = options;
  let stopped = false;
  let lag = 0;
  let messages: ConsumerMessages | undefined;

  const settle = async (batch: readonly JsMsg[]) => {
    const outcome = await handle(batch.map(delivered)).catch((error: unknown) => {
      log.error({ err: error, consumer: name }, 'batch failed; it will be delivered again');
      return { retryInMs: RETRY_MS };
    });
    if (outcome === 'done') for (const message of batch) message.ack();
    else for (const message of batch) message.nak(outcome.retryInMs);
  };

  const loop = async () => {
    while (!stopped) {
      try {
        const consumer = await bus.js.consumers.get(spec.stream, name);
        messages = await consumer.consume({ max_messages: options.batchMax, expires: 5_000 });
        for await (const batch of batches(messages, options)) {
          lag = batch.at(-1)?.info.pending ?? 0;
          await settle(batch);
        }
      } catch (error) {
        if (!stopped) log.warn({ err: error, consumer: name }, 'consumer lost; trying again');
      }
      if (!stopped) await sleep(RESTART_MS);
    }
  };
  // After a reconnect the pull that the broker forgot would be noticed only by its missing heartbeats, seconds later.
  bus.onChange((connected) => {
    if (connected) messages?.stop();
  });
  const running = loop();
  return {
    lag: () => lag,
    stop: async () => {
      stopped = true;
      messages?.stop();
      await running;
    },
  };
}

/** Groups what arrives: a lone message waits at most `lingerMs` for company. */
async function* batches(
  messages: ConsumerMessages,
  { batchMax, lingerMs = 0 }: { readonly batchMax: number; readonly lingerMs?: number },
): AsyncGenerator<JsMsg[]> {
  const iterator = messages[Symbol.asyncIterator]();
  let next = iterator.next();
  for (;;) {
    const first = await next;
    if (first.done === true) return;
    const batch = [first.value];
    next = iterator.next();
    const deadline = sleep(lingerMs, 'late' as const);
    while (batch.length < batchMax) {
      const arrived = await Promise.race([next, deadline]);
      if (arrived === 'late') break;
      if (arrived.done === true) {
        yield batch;
        return;
      }
      batch.push(arrived.value);
      next = iterator.next();
    }
    yield batch;
  }
}

function delivered(message: JsMsg): Delivered {
  return {
    subject: message.subject,
    body: message.data,
    mac: message.headers?.get(HEADERS.mac) ?? '',
    sequence: message.seq,
    deliveries: message.info.deliveryCount,
    storedAt: Math.floor(message.info.timestampNanos / 1e6),
    pending: message.info.pending,
  };
}

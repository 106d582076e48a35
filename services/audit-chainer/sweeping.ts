/** Looks again and again for what nobody told: messages that were never chained, and calls that never ended. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { MacKeys } from '#contracts/mac.ts';
import { type ConsumerName, CONSUMERS } from '#contracts/streams.ts';
import type { DatabaseWatch } from '#host/database-watch.ts';
import type { Logger } from '#host/log.ts';
import type { Bus } from '#host/nats.ts';

import type { ChainStore } from './append.ts';
import { type StreamState, sweepStream } from './gaps.ts';
import { CHAINED } from './sealed-through.ts';
import { settle, UNKNOWN_AFTER_MS } from './settle.ts';

const SWEEP_MS = 10_000;

export interface Sweeping extends ChainStore {
  readonly bus: Bus;
  readonly database: DatabaseWatch;
  readonly macKeys: MacKeys;
  readonly log: Logger;
  /** For tests: how long a forwarded call may be without an outcome. */
  readonly unknownAfterMs?: number;
}

export interface Sweeper {
  /** Looks once. @throws when broker or database are away */
  readonly pass: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** How much of the outcomes was stored by some time. */
interface Sample {
  /** Milliseconds UTC. */
  readonly at: number;
  readonly epoch: string;
  readonly last: number;
}

export function startSweeping(parts: Sweeping): Sweeper {
  const { bus, database, log, unknownAfterMs = UNKNOWN_AFTER_MS } = parts;
  const stopping = new AbortController();
  let samples: readonly Sample[] = [];

  const pass = async () => {
    for (const name of CHAINED) {
      const at = Date.now();
      const state = await stateOf(bus, name);
      const { recovered, missing } = await sweepStream(parts, state);
      if (recovered > 0)
        log.error({ stream: state.stream, recovered }, 'messages were not chained');
      if (missing > 0) log.error({ stream: state.stream, missing }, 'messages are missing');
      if (state.stream !== 'OUTCOMES') continue;
      samples = [...samples, { at, epoch: state.epoch, last: state.last }];
      // Outcomes that were stored by then are chained: a call that has none now had none then.
      const chained = samples.findLastIndex(
        ({ epoch, last }) => epoch === state.epoch && last <= state.acknowledged,
      );
      if (chained === -1) continue;
      samples = samples.slice(chained);
      const before = (samples[0]?.at ?? 0) - unknownAfterMs;
      const unknown = await settle(parts, before, stopping.signal);
      if (unknown > 0) log.warn({ unknown }, 'forwarded calls of which nobody reported the end');
    }
  };
  const loop = async () => {
    while (!stopping.signal.aborted) {
      await sleep(SWEEP_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted || database.fault() !== '') continue;
      await pass().catch((error: unknown) => log.warn({ err: error }, 'not swept'));
    }
  };
  const running = loop();
  return {
    pass,
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}

/** The acknowledgements first: what is behind them was committed before anything else is read. */
async function stateOf(bus: Bus, name: ConsumerName): Promise<StreamState> {
  const { stream } = CONSUMERS[name];
  const epoch = await bus.epoch(stream);
  const { ack_floor: floor } = await bus.jsm.consumers.info(stream, name);
  const { state } = await bus.jsm.streams.info(stream);
  return {
    stream,
    epoch,
    acknowledged: floor.stream_seq,
    first: state.first_seq,
    last: state.last_seq,
  };
}

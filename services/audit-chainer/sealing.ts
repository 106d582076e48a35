/**
 * Checkpoints over the chains: one a second while anything is new. What the chainer has acknowledged in each stream is
 * read before, so a checkpoint says up to where the spool is under it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

import type pg from 'pg';

import type { SignerKey } from '#contracts/note.ts';
import { CONSUMERS } from '#contracts/streams.ts';
import type { DatabaseWatch } from '#host/database-watch.ts';
import type { Logger } from '#host/log.ts';
import type { Bus } from '#host/nats.ts';

import { type Floors, keepFloors, seal, type Sealed } from './seal.ts';
import { CHAINED } from './sealed-through.ts';

export const SEAL_MS = 1_000;

export interface SealingParts {
  readonly bus: Bus;
  readonly pool: pg.Pool;
  readonly database: DatabaseWatch;
  readonly signer: SignerKey;
  readonly log: Logger;
  /** Done once before the first checkpoint. */
  readonly beforeFirst: () => Promise<void>;
  /** Told of each new checkpoint, once it is committed. */
  readonly onSealed: (sealed: Sealed) => Promise<void>;
}

export interface Sealing {
  /** Why the last attempt failed, for the operator: a hole in a chain, too. Empty = it did not. */
  readonly fault: () => string;
  readonly stop: () => Promise<void>;
}

/** Seals until stopped. */
export function startSealing(parts: SealingParts): Sealing {
  let fault = '';
  const stopping = new AbortController();
  const { database, log, pool, signer } = parts;
  const pause = async (ms: number) => {
    await sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined);
  };
  const loop = async () => {
    let ready = false;
    let kept: Floors = {};
    while (!stopping.signal.aborted) {
      const started = performance.now();
      let sealed: Sealed | undefined;
      try {
        if (await database.waitUsable(SEAL_MS)) {
          if (!ready) await parts.beforeFirst();
          ready = true;
          const floors = await floorsOf(parts.bus).catch(() => ({})); // the broker may be away
          sealed = await seal(pool, signer, floors);
          if (sealed !== undefined) await parts.onSealed(sealed);
          else if (!isDeepStrictEqual(floors, kept)) await keepFloors(pool, floors);
          kept = floors;
          fault = '';
        }
      } catch (error) {
        log.warn({ err: error }, 'not sealed yet');
        fault = (error as Error).message;
      }
      if (sealed?.more !== true) await pause(SEAL_MS - (performance.now() - started));
    }
  };
  const running = loop();
  return {
    fault: () => fault,
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}

/** Messages are acknowledged after the commit and only then, so the acknowledgement floor says what is chained. */
async function floorsOf(bus: Bus): Promise<Floors> {
  const floors = CHAINED.map(async (name) => {
    const { stream } = CONSUMERS[name];
    const epoch = await bus.epoch(stream);
    const { ack_floor: floor } = await bus.jsm.consumers.info(stream, name);
    return [stream, { epoch, sequence: floor.stream_seq }] as const;
  });
  return Object.fromEntries(await Promise.all(floors));
}

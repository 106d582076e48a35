/**
 * Checkpoints into stream SEALED, from the database: where the feed stands is what it holds itself, so nothing is left
 * out after a crash, and what is sent twice has the same message id. Who keeps the feed outside holds our past against us.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

import { parseCheckpoint } from '#contracts/checkpoint.ts';
import type { SealedCheckpoint } from '#contracts/sealed.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { DatabaseWatch } from '#host/database-watch.ts';
import type { Logger } from '#host/log.ts';
import { type Bus, newHeaders } from '#host/nats.ts';

export interface FeedParts {
  readonly bus: Bus;
  readonly pool: pg.Pool;
  readonly database: DatabaseWatch;
  readonly log: Logger;
}

export interface Feed {
  /** A checkpoint has come to be witnessed. Without a word, one is looked for every few seconds. */
  readonly wake: () => void;
  readonly close: () => Promise<void>;
}

const LOOK_MS = 5_000;
const PAGE = 100;
const STORE_MS_MAX = 5_000;

/** Feeds until closed. */
export function startFeed(parts: FeedParts): Feed {
  const stop = new AbortController();
  let wake = Promise.withResolvers<void>();
  let sent: number | undefined;
  const pass = async () => {
    sent ??= await lastSent(parts.bus);
    for (let more = true; more && !stop.signal.aborted;) {
      const checkpoints = await witnessedAfter(parts.pool, sent);
      for (const checkpoint of checkpoints) {
        await send(parts.bus, checkpoint);
        sent = checkpoint.size;
      }
      more = checkpoints.length === PAGE;
    }
  };
  const loop = async () => {
    while (!stop.signal.aborted) {
      const woken = wake.promise;
      if (parts.database.fault() === '')
        await pass().catch((err: unknown) => parts.log.warn({ err }, 'checkpoints not fed yet'));
      const pause = new AbortController();
      const signal = AbortSignal.any([stop.signal, pause.signal]);
      await Promise.race([woken, sleep(LOOK_MS, undefined, { signal }).catch(() => {})]);
      pause.abort();
      wake = Promise.withResolvers();
    }
  };
  const running = loop();
  return {
    wake: () => wake.resolve(),
    close: async () => {
      stop.abort();
      wake.resolve();
      await running;
    },
  };
}

/** Without a MAC, which nobody outside could check: it bears the signature of the log. */
async function send(bus: Bus, checkpoint: SealedCheckpoint): Promise<void> {
  const headers = newHeaders();
  headers.set('Nats-Msg-Id', `checkpoint-${checkpoint.origin}-${checkpoint.size}`);
  const body = Buffer.from(JSON.stringify(checkpoint));
  await bus.store(SUBJECTS.sealedCheckpoints, body, { headers, timeoutMs: STORE_MS_MAX });
}

/** Size of the last checkpoint in the feed, 0 for none. */
async function lastSent(bus: Bus): Promise<number> {
  const last = await bus.jsm.direct.getMessage('SEALED', {
    last_by_subj: SUBJECTS.sealedCheckpoints,
  });
  return last === null ? 0 : (last.json<SealedCheckpoint>().size ?? 0);
}

/** Witnessed checkpoints behind a size, smallest first. */
async function witnessedAfter(pool: pg.Pool, size: number): Promise<SealedCheckpoint[]> {
  const { rows } = await pool.query<{
    readonly size: number;
    readonly at: number;
    readonly note: string;
    readonly lines: string | null;
    readonly witnessed_at: number;
  }>(
    `select size, at, note, witnessed_at,
       (select string_agg(line, '' order by key) from cosignatures where cosignatures.size = checkpoints.size) as lines
     from checkpoints where witnessed_at is not null and size > $1 order by size limit ${PAGE}`,
    [size],
  );
  return rows.flatMap(({ at, lines, witnessed_at, ...row }) => {
    const read = parseCheckpoint(row.note.slice(0, row.note.lastIndexOf('\n\n') + 1));
    if (read === undefined) return []; // tampered with; verifiers see it
    const { origin, root } = read;
    return {
      at,
      kind: 'checkpoint' as const,
      note: row.note + (lines ?? ''),
      origin,
      root: Buffer.from(root).toString('base64'),
      size: row.size,
      v: 1 as const,
      witnessed_at,
    };
  });
}

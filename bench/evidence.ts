// Is every decision that somebody was told recorded? Compared by id against the chain, after it has caught up.

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from 'pg';

import { CHECKOUT } from '#cli/local/places.ts';

import type { Ours } from './ours.ts';

const CATCH_UP_MS_MAX = 600_000;
const LOOK_MS = 50;
const PAGE = 50_000;

/** Resolves when everything in the stream of decisions is in the chain. */
export async function chained({ operator }: Pick<Ours, 'operator'>): Promise<void> {
  const deadline = Date.now() + CATCH_UP_MS_MAX;
  while (Date.now() < deadline) {
    const consumer = await operator.jsm.consumers.info('DECISIONS', 'chain-decisions');
    if (consumer.num_pending + consumer.num_ack_pending === 0) return;
    await sleep(LOOK_MS);
  }
  throw new Error('the chain does not catch up');
}

export interface Evidence {
  /** Decisions that somebody was told. */
  readonly answered: number;
  /** Of these, how many the chain lacks. */
  readonly missing: number;
  /** In the chain, but the answer did not arrive in time: refused to the caller, harmless. */
  readonly unanswered: number;
}

/** A file for the ids of all answers of a run. */
export async function idsFile(): Promise<string> {
  const file = join(CHECKOUT, '.countersign', 'bench', 'ids');
  await rm(file, { force: true });
  return file;
}

/** @param file one decision id a line, written by the load generator */
export async function compareWithChain(ours: Ours, file: string): Promise<Evidence> {
  await chained(ours);
  const answered = (await readFile(file, 'utf8')).trimEnd().split('\n');
  const missing = new Set(answered);
  let recorded = 0;
  const database = new Client({ connectionString: ours.system.databaseAdminUrl });
  await database.connect();
  try {
    for (const tenant of ours.tenants) {
      for (let from = 0; ;) {
        const { rows } = await database.query<{ id: string; sequence: string }>(
          `select record_id as id, sequence from chain_rows
           where tenant = $1 and kind = 'decision' and sequence > $2 order by sequence limit $3`,
          [tenant, from, PAGE],
        );
        for (const { id } of rows) missing.delete(id);
        recorded += rows.length;
        const last = rows.at(-1);
        if (last === undefined) break;
        from = Number(last.sequence);
      }
    }
  } finally {
    await database.end();
  }
  const told = new Set(answered).size;
  return { answered: told, missing: missing.size, unanswered: recorded - (told - missing.size) };
}

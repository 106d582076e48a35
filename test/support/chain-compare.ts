// Compares what callers were told with the chain: every answered allow once, no row twice, no gap, intact.

import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from 'pg';

import { type ChainFinding, chainVerifier, showHash } from '#contracts/chain.ts';
import type { ConsumerName } from '#contracts/streams.ts';

import type { Live } from './live.ts';

export interface Compared {
  /** Rows of the tenant's chain. */
  readonly rows: number;
  /** Answered allows that the chain lacks. */
  readonly missing: number;
  /** Decisions that stand in it more than once. */
  readonly doubled: number;
  readonly gaps: number;
  readonly finding: ChainFinding | undefined;
}

export const INTACT = { missing: 0, doubled: 0, gaps: 0, finding: undefined };

const PAGE = 10_000;
const LOOK_MS = 500;
const STANDSTILL_MS = 30 * 60_000;

interface Row {
  readonly sequence: string;
  readonly kind: string;
  readonly decision_id: string;
  readonly entry: string;
  readonly hash: Buffer;
}

/**
 * Waits until the chain holds everything, or all that the stream has, then compares.
 * @param atLeastMs what is looked for longer: sweeps make up for what was acknowledged and not chained
 * @throws when decisions wait in the stream and none is chained for half an hour: then nothing is known of a loss
 */
export async function compareWithChain(
  { system: { databaseAdminUrl, urls } }: Pick<Live, 'system'>,
  allowed: readonly string[],
  atLeastMs = 120_000,
): Promise<Compared> {
  const database = new Client({ connectionString: databaseAdminUrl });
  await database.connect();
  try {
    const deadline = Date.now() + atLeastMs;
    let before = -1;
    let movedAt = Date.now();
    for (;;) {
      const waiting = await notChained(urls.natsMonitor); // before the rows are read
      const compared = await compareNow(database, 'demo', allowed);
      const still = compared.rows === before;
      if (compared.missing === 0 || (still && waiting === 0 && Date.now() > deadline))
        return compared;
      if (!still) movedAt = Date.now();
      if (Date.now() - movedAt > STANDSTILL_MS)
        throw new Error(`the chain stands still, and ${waiting} messages of decisions wait for it`);
      before = compared.rows;
      await sleep(LOOK_MS);
    }
  } finally {
    await database.end();
  }
}

const CONSUMER: ConsumerName = 'chain-decisions';

interface Jsz {
  readonly account_details?: readonly {
    readonly stream_detail?: readonly {
      readonly consumer_detail?: readonly {
        readonly name: string;
        readonly num_pending: number;
        readonly num_ack_pending: number;
      }[];
    }[];
  }[];
}

/** Messages of DECISIONS that the chainer has not acknowledged; a busy machine may leave them for minutes. */
async function notChained(monitorUrl: string): Promise<number> {
  const asked = await fetch(`${monitorUrl}/jsz?accounts=true&streams=true&consumers=true`);
  const { account_details: accounts = [] } = (await asked.json()) as Jsz;
  const consumer = accounts
    .flatMap(({ stream_detail: streams = [] }) => streams)
    .flatMap(({ consumer_detail: consumers = [] }) => consumers)
    .find(({ name }) => name === CONSUMER);
  if (consumer === undefined) throw new Error(`the broker has no consumer ${CONSUMER}`);
  return consumer.num_pending + consumer.num_ack_pending;
}

/** What the chainer's sweeps missed, by the reasons of their events. @param databaseUrl of the superuser */
export async function missedMessages(databaseUrl: string): Promise<readonly string[]> {
  const database = new Client({ connectionString: databaseUrl });
  await database.connect();
  try {
    const { rows } = await database.query<{ reason: string }>(
      `select entry::json -> 'body' ->> 'reason' as reason from chain_rows
       where tenant = '_platform' and kind = 'control.alert'
         and entry::json -> 'body' ->> 'action' in ('report_gap', 'report_new_stream', 'report_rewound_stream')`,
    );
    return rows.map(({ reason }) => reason);
  } finally {
    await database.end();
  }
}

async function compareNow(
  database: Client,
  tenant: string,
  allowed: readonly string[],
): Promise<Compared> {
  const missing = new Set(allowed);
  const decisions = new Set<string>();
  const verifier = chainVerifier(tenant);
  let finding: ChainFinding | undefined;
  let rows = 0;
  let doubled = 0;
  let gaps = 0;
  for (let last = 0; ;) {
    const page = await database.query<Row>(
      `select sequence, kind, decision_id, entry, hash from chain_rows
       where tenant = $1 and sequence > $2 order by sequence limit $3`,
      [tenant, last, PAGE],
    );
    for (const { sequence, kind, decision_id: id, entry, hash } of page.rows) {
      rows += 1;
      if (Number(sequence) !== last + 1) gaps += 1;
      last = Number(sequence);
      if (finding === undefined) {
        const next = verifier.next({ entry, hash: showHash(hash) });
        if ('fault' in next) finding = next;
      }
      if (kind !== 'decision') continue;
      if (decisions.has(id)) doubled += 1;
      decisions.add(id);
      missing.delete(id);
    }
    if (page.rows.length < PAGE) break;
  }
  return { rows, missing: missing.size, doubled, gaps, finding };
}

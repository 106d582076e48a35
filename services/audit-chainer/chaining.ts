/**
 * What happens to a batch of stored messages: admitted, appended, and only then acknowledged. While the database is
 * away the batch waits here for a while, then goes back to the stream; nothing is ever given up.
 */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';

import type { MacKeys } from '#contracts/mac.ts';
import { type ConsumerName, CONSUMERS } from '#contracts/streams.ts';
import { consume, type Consuming, type Delivered, type Handled } from '#host/consume.ts';
import type { DatabaseWatch } from '#host/database-watch.ts';
import type { Logger } from '#host/log.ts';
import type { Bus } from '#host/nats.ts';

import { admit, type Origin } from './admit.ts';
import { append, type Appended, type ChainStore } from './append.ts';
import { alertAbout, type Candidate } from './candidate.ts';
import { type HandledMessages, spansOf } from './spooled.ts';

export interface Chaining extends ChainStore {
  readonly bus: Bus;
  readonly database: DatabaseWatch;
  readonly macKeys: MacKeys;
  readonly log: Logger;
  readonly onAppended: (origin: Origin, appended: Appended) => void;
  /** For crash tests: runs between commit and acknowledgement. */
  readonly afterCommit?: () => Promise<void>;
}

/**
 * How long a batch waits for company. Nobody waits for the chain, and each transaction takes a disk sync that decisions
 * on the same disk would wait behind, and costs what thirty rows cost: four a second instead of fifty.
 */
const LINGER_MS = 250;
/** Messages of one batch; each holds up to 128 records. */
const BATCH_MESSAGES_MAX = 512;
/** One transaction takes about this much: enough to share its cost, and memory stays bounded however far behind we are. */
const PORTION_BYTES_MAX = 4 * 1024 * 1024;
/** Less than the consumers' ack wait, so that a batch that waits here is not delivered to somebody else meanwhile. */
const HOLD_MS = 7_000;
const RETRY_MS = 1_000;
const PAUSE_MS = 100;

/** Consumes one stream into the chains until stopped. */
export function chainStream(name: ConsumerName, chaining: Chaining): Consuming {
  const { stream } = CONSUMERS[name];
  const { bus, log } = chaining;
  const options = { batchMax: BATCH_MESSAGES_MAX, lingerMs: LINGER_MS, pullsAhead: true, log };
  // What comes again comes in rows, after a crash or a reset: then the next batch is not presumed new either.
  let repeats = false;
  const onAppended: Chaining['onAppended'] = (origin, appended) => {
    repeats = appended.repeated > 0;
    chaining.onAppended(origin, appended);
  };
  return consume(bus, name, options, async (batch) => {
    // Asked for each batch: a stream made anew counts from 1 again.
    const origin = { stream, epoch: await bus.epoch(stream) };
    const presumedNew = !repeats && batch.every(({ deliveries }) => deliveries === 1);
    return chainBatch(batch, origin, { ...chaining, onAppended, presumedNew });
  });
}

async function chainBatch(
  batch: readonly Delivered[],
  origin: Origin,
  chaining: Chaining & { readonly presumedNew: boolean },
): Promise<Handled> {
  const deadline = Date.now() + HOLD_MS;
  let done = 0;
  let before = { chained: Promise.resolve(true), messages: 0 };
  for (const portion of portionsOf(batch)) {
    // Read while the database is at work on the portion before.
    const [chained, candidates] = await Promise.all([
      before.chained,
      admitAll(portion, origin, chaining.macKeys),
    ]);
    if (!chained) return { retryInMs: RETRY_MS, done };
    done += before.messages;
    const handled = { ...origin, spans: spansOf(portion.map(({ sequence }) => sequence)) };
    // The first one has its try however late it is: with hardly any CPU no batch would come to an end.
    const until = done === 0 ? Math.max(deadline, Date.now() + PAUSE_MS) : deadline;
    before = {
      chained: chainCandidates(candidates, origin, { ...chaining, handled, deadline: until }),
      messages: portion.length,
    };
  }
  if (!(await before.chained)) return { retryInMs: RETRY_MS, done };
  await chaining.afterCommit?.();
  return 'done';
}

async function admitAll(
  portion: readonly Delivered[],
  origin: Origin,
  macKeys: MacKeys,
): Promise<Candidate[]> {
  const candidates: Candidate[] = [];
  for (const message of portion) {
    candidates.push(...admit(message, origin, macKeys));
    await setImmediate();
  }
  return candidates;
}

function* portionsOf(batch: readonly Delivered[]): Generator<readonly Delivered[]> {
  let portion: Delivered[] = [];
  let bytes = 0;
  for (const message of batch) {
    if (portion.length > 0 && bytes + message.body.length > PORTION_BYTES_MAX) {
      yield portion;
      portion = [];
      bytes = 0;
    }
    portion.push(message);
    bytes += message.body.length;
  }
  if (portion.length > 0) yield portion;
}

/** True once all of them are in the chains; false when the database could not take them in time. */
async function chainCandidates(
  candidates: readonly Candidate[],
  origin: Origin,
  chaining: Chaining & {
    readonly handled: HandledMessages;
    readonly presumedNew: boolean;
    readonly deadline: number;
  },
): Promise<boolean> {
  const { database, log, handled, presumedNew, deadline, onAppended } = chaining;
  while (Date.now() < deadline && (await database.waitUsable(deadline - Date.now()))) {
    try {
      onAppended(origin, await append(chaining, candidates, { handled, presumedNew }));
      return true;
    } catch (error) {
      if (refusesData(error)) {
        onAppended(origin, await appendOneByOne(chaining, candidates, error));
        await append(chaining, [], { handled });
        return true;
      }
      log.warn({ err: error, stream: origin.stream }, 'not appended yet');
      if (!isRace(error)) database.failed(error);
      await sleep(PAUSE_MS);
    }
  }
  return false;
}

const sqlState = (error: unknown) => (error as { code?: string }).code ?? '';

/** Data exception or program limit: the database is well, and this data will never do. */
const refusesData = (error: unknown) => /^(22|54)...$/.test(sqlState(error));

/** Serialization failure, deadlock, unique violation: somebody was faster, and the next look sees what they did. */
const isRace = (error: unknown) => ['40001', '40P01', '23505'].includes(sqlState(error));

/** The slow way round data that the database refuses: the rest is chained, and the refused becomes an alert. */
async function appendOneByOne(
  store: ChainStore,
  candidates: readonly Candidate[],
  cause: unknown,
): Promise<Appended> {
  const sum = { rows: 0, repeated: 0, alerts: 0 };
  for (const candidate of candidates) {
    const { rows, repeated, alerts } = await append(store, [candidate]).catch((error: unknown) => {
      if (!refusesData(error)) throw error;
      const { leaf, payload } = candidate.lines;
      const bytes = new TextEncoder().encode(`${leaf}\n${payload}\n`);
      const fault = `the database refuses it: ${sqlState(cause)}`;
      return append(store, [alertAbout({ ...candidate, fault, bytes })]);
    });
    sum.rows += rows;
    sum.repeated += repeated;
    sum.alerts += alerts;
  }
  return sum;
}

/** What recorded decisions drew from counters, read from the stream of decisions. */
import { type Draw, readDraws } from '#contracts/budget.ts';
import type { MacKeys } from '#contracts/mac.ts';
import { checkMac } from '#contracts/mac.ts';
import { decodeRecords, MalformedRecords, type RecordLines } from '#contracts/record.ts';
import { HEADERS } from '#contracts/subjects.ts';
import type { Bus } from '#host/nats.ts';

const BATCH = 256;

/** The decisions of a time are not all in the stream any more. */
export class Trimmed extends Error {}

/**
 * Draws of the allowed decisions that are stored from a time on, to the end of the stream or until `take` has enough.
 * @param take gets a decision's id and draws; false = no more
 * @throws Trimmed when the stream begins after that time
 */
export async function readDecisions(
  bus: Bus,
  keys: MacKeys,
  from: { readonly since: number; readonly until?: number },
  take: (id: string, draws: readonly Draw[]) => boolean,
): Promise<void> {
  const { state } = await bus.jsm.streams.info('DECISIONS');
  if (state.messages === 0 && state.last_seq === 0) return;
  if (state.first_seq > 1 && Date.parse(state.first_ts) > from.since) throw new Trimmed('trimmed');
  let next: { start_time: Date } | { seq: number } = { start_time: new Date(from.since) };
  for (let last = 0; last < state.last_seq;) {
    let got = 0;
    for await (const message of await bus.jsm.direct.getBatch('DECISIONS', {
      ...next,
      batch: BATCH,
    })) {
      got += 1;
      last = message.seq;
      if (from.until !== undefined && message.time.getTime() > from.until) return;
      const mac = message.header.get(HEADERS.mac);
      const signed = checkMac(keys, { subject: message.subject, body: message.data, header: mac });
      if ('fault' in signed) continue; // not a worker's: the chainer raises the alert
      for (const { leaf, payload } of recordsOf(message.string())) {
        // Most decisions draw on nothing; a name within a text costs less than reading it.
        if (!payload.includes('"draws":[')) continue;
        const { id, verdict } = JSON.parse(leaf) as { id: string; verdict: string }; // a worker's, by the MAC
        if (verdict === 'allow' && !take(id, readDraws(payload))) return;
      }
    }
    if (got === 0) return;
    next = { seq: last + 1 };
  }
}

function recordsOf(text: string): readonly RecordLines[] {
  try {
    return decodeRecords(text);
  } catch (error) {
    if (error instanceof MalformedRecords) return [];
    throw error;
  }
}

/** What recorded decisions drew from counters, read from the stream of decisions. */
import { type Draw, readDraws } from '#contracts/budget.ts';
import { checkMac, type MacKeys } from '#contracts/mac.ts';
import { decodeRecords } from '#contracts/record.ts';
import { HEADERS } from '#contracts/subjects.ts';
import type { Bus } from '#host/nats.ts';
import { readBack, type StoredMessage } from '#host/read-back.ts';

const AT_ONCE = 256;

/** The decisions of a time are not all in the stream any more. */
export class Trimmed extends Error {}

/** An allowed decision, and what it drew. */
export interface Drawing {
  readonly id: string;
  readonly draws: readonly Draw[];
}

/**
 * Allowed decisions that drew on counters, stored from a time on.
 * @throws Trimmed when the stream begins after that time
 */
export async function* readDrawings(
  bus: Bus,
  keys: MacKeys,
  { since, until = Number.POSITIVE_INFINITY }: { readonly since: number; readonly until?: number },
): AsyncGenerator<Drawing> {
  const { state } = await bus.jsm.streams.info('DECISIONS');
  if (state.first_seq > 1 && Date.parse(state.first_ts) > since) throw new Trimmed('trimmed');
  for await (const message of readBack(bus, 'DECISIONS', { since, atOnce: AT_ONCE })) {
    if (message.storedAt > until) return;
    yield* drawingsIn(keys, message);
  }
}

/** What is no record of a worker is left to the chainer, which raises the alert. */
function* drawingsIn(keys: MacKeys, { subject, body, header }: StoredMessage): Iterable<Drawing> {
  if ('fault' in checkMac(keys, { subject, body, header: header(HEADERS.mac) })) return;
  const text = Buffer.from(body).toString('utf8');
  // Most messages draw on nothing; a name within a text costs less than reading it.
  if (!text.includes('"draws":[')) return;
  for (const { leaf, payload } of decodeRecords(text)) {
    const { id, verdict } = JSON.parse(leaf) as { id: string; verdict: string }; // a worker's, by the MAC
    const draws = readDraws(payload);
    if (verdict === 'allow' && draws.length > 0) yield { id, draws };
  }
}

/**
 * Compares a stream with what was chained of it. A message that nobody handled is chained now if the stream still has
 * it; else it is missed in the chain of the platform, by number: never silence. Several chainers may sweep at once.
 */
import type { MacKeys } from '#contracts/mac.ts';
import { HEADERS } from '#contracts/subjects.ts';
import type { Delivered } from '#host/consume.ts';
import { inTransaction } from '#host/database.ts';
import type { Bus } from '#host/nats.ts';

import { admit, type Origin } from './admit.ts';
import { append, type ChainStore } from './append.ts';
import { alert, type Candidate } from './candidate.ts';
import { holesIn, mergeHandled, readHandled, type Span } from './spooled.ts';

/** A stream as the broker has it. */
export interface StreamState extends Origin {
  /** Every message up to here was acknowledged. Read before the rest. */
  readonly acknowledged: number;
  /** The first and the last sequence that the stream knows of. */
  readonly first: number;
  readonly last: number;
}

export interface Swept {
  /** Messages that were chained only now. */
  readonly recovered: number;
  /** Messages that are gone. */
  readonly missing: number;
}

/** Of one hole; the next sweep goes on. */
const RECOVERED_MAX = 1_000;

export async function sweepStream(
  parts: ChainStore & { readonly bus: Bus; readonly macKeys: MacKeys },
  state: StreamState,
): Promise<Swept> {
  const { pool } = parts;
  const { stream, epoch, acknowledged } = state;
  await tellOfNewStream(parts, state);
  const spans = await readHandled(pool, stream, epoch);
  let recovered = 0;
  let missing = 0;
  for (const hole of holesIn(spans, acknowledged)) {
    const found = await stillThere(parts.bus, state, hole);
    for (const message of found) {
      const one = { stream, epoch, spans: [{ first: message.sequence, last: message.sequence }] };
      await append(parts, admit(message, state, parts.macKeys), { handled: one });
    }
    recovered += found.length;
    if (found.length === RECOVERED_MAX) continue;
    const gone = holesIn(
      found.map(({ sequence }) => ({ first: sequence, last: sequence })),
      hole.last,
    ).flatMap(({ first, last }) =>
      last < hole.first ? [] : [{ first: Math.max(first, hole.first), last }],
    );
    for (const span of gone) {
      await append(parts, [gap(state, span)], {
        handled: { stream, epoch, spans: [span] },
      });
      missing += span.last - span.first + 1;
    }
  }
  if (spans.length > 1) await inTransaction(pool, (client) => mergeHandled(client, stream, epoch));
  return { recovered, missing };
}

/** The messages of a hole that the stream still has, at most RECOVERED_MAX. */
async function stillThere(bus: Bus, state: StreamState, hole: Span): Promise<Delivered[]> {
  const found: Delivered[] = [];
  const last = Math.min(hole.last, state.last);
  for (let seq = Math.max(hole.first, state.first); seq <= last; seq += 1) {
    const stored = await bus.jsm.streams.getMessage(state.stream, { seq });
    if (stored === null) continue;
    found.push({
      subject: stored.subject,
      body: stored.data,
      mac: stored.header.get(HEADERS.mac),
      sequence: seq,
      deliveries: 1,
      storedAt: stored.time.getTime(),
      pending: 0,
    });
    if (found.length === RECOVERED_MAX) break;
  }
  return found;
}

const gap = ({ stream, epoch }: Origin, { first, last }: Span): Candidate =>
  alert({
    action: 'report_gap',
    at: Date.now(),
    id: `gap/${stream}/${epoch}/${first}-${last}`,
    target: `${stream}/${epoch}/${first}-${last}`,
    reason: `${last - first + 1} messages of ${stream} are not in the chain and not in the stream`,
  });

/** A stream that was made anew, or ends before what was chained of it, has lost what nobody can count. */
async function tellOfNewStream(
  store: ChainStore,
  { stream, epoch, last }: StreamState,
): Promise<void> {
  const { rows } = await store.pool.query<{ epoch: string; last: number }>(
    'select epoch, max(last) as last from spooled where stream = $1 group by epoch',
    [stream],
  );
  const known = rows.find((row) => row.epoch === epoch);
  const about = { at: Date.now(), target: `${stream}/${epoch}` };
  if (known === undefined) {
    const former = rows.map((row) => `${row.epoch} up to ${row.last}`).join(', ');
    const event = alert({
      ...about,
      action: 'report_new_stream',
      id: `new-stream/${stream}/${epoch}`,
      reason: `${stream} was made anew; of the former is chained ${former}: what came behind is lost`,
    });
    if (rows.length > 0) await append(store, [event]);
  } else if (last < known.last) {
    const event = alert({
      ...about,
      action: 'report_rewound_stream',
      id: `rewound/${stream}/${epoch}/${last}-${known.last}`,
      reason: `${stream} ends at ${last}, and messages up to ${known.last} were chained: the broker has lost what it had acknowledged`,
    });
    await append(store, [event]);
  }
}

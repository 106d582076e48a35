/** Which messages of a stream were handled: written with their rows, so that what was never seen is missed. */
import type { StreamName } from '#contracts/streams.ts';
import type { Database } from '#host/tree-store.ts';

/** Messages of one stream. */
export interface HandledMessages {
  readonly stream: StreamName;
  readonly epoch: string;
  readonly spans: readonly Span[];
}

/** Sequences from `first` to `last`, both of them included. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

/** Writes down that messages were handled: as rows, as alerts, or because all they hold is chained already. */
export async function keepHandled(client: Database, handled: HandledMessages): Promise<void> {
  const { stream, epoch, spans } = handled;
  await client.query(
    `insert into spooled (stream, epoch, first, last)
     select $1, $2, first, last from unnest($3::bigint[], $4::bigint[]) as span (first, last)
     on conflict (stream, epoch, first) do update set last = greatest(spooled.last, excluded.last)`,
    [stream, epoch, spans.map(({ first }) => first), spans.map(({ last }) => last)],
  );
}

/** Runs without a hole. */
export function spansOf(sequences: readonly number[]): Span[] {
  const spans: { first: number; last: number }[] = [];
  for (const sequence of [...new Set(sequences)].sort((a, b) => a - b)) {
    const span = spans.at(-1);
    if (span?.last === sequence - 1) span.last = sequence;
    else spans.push({ first: sequence, last: sequence });
  }
  return spans;
}

/** What stands between spans, which may overlap, from 1 up to `through`. */
export function holesIn(spans: readonly Span[], through: number): Span[] {
  const holes: Span[] = [];
  let next = 1;
  for (const { first, last } of [...spans].sort((a, b) => a.first - b.first)) {
    if (next > through) break;
    if (first > next) holes.push({ first: next, last: Math.min(first - 1, through) });
    next = Math.max(next, last + 1);
  }
  if (next <= through) holes.push({ first: next, last: through });
  return holes;
}

/** What is known of a stream; spans may touch and overlap. */
export async function readHandled(
  database: Database,
  stream: StreamName,
  epoch: string,
): Promise<readonly Span[]> {
  const { rows } = await database.query<Span>(
    'select first, last from spooled where stream = $1 and epoch = $2 order by first',
    [stream, epoch],
  );
  return rows;
}

/** Sequence up to which every message of a stream was handled, or is known to be missing. */
export async function handledThrough(
  database: Database,
  stream: StreamName,
  epoch: string,
): Promise<number> {
  const spans = await readHandled(database, stream, epoch);
  const end = Math.max(0, ...spans.map(({ last }) => last));
  return (holesIn(spans, end)[0]?.first ?? end + 1) - 1;
}

/** Makes spans that touch one, so that there are few. */
export async function mergeHandled(
  client: Database,
  stream: StreamName,
  epoch: string,
): Promise<void> {
  const { rows } = await client.query<Span>(
    'delete from spooled where stream = $1 and epoch = $2 returning first, last',
    [stream, epoch],
  );
  await keepHandled(client, { stream, epoch, spans: merged(rows) });
}

function merged(spans: readonly Span[]): Span[] {
  const whole: { first: number; last: number }[] = [];
  for (const { first, last } of [...spans].sort((a, b) => a.first - b.first)) {
    const before = whole.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else whole.push({ first, last });
  }
  return whole;
}

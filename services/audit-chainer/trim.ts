/**
 * Purges stream entries that nobody needs any more: in the chain, read by every durable consumer, and older than the
 * time that people may still want to look at them. The record is the chain; a stream is its write-ahead spool.
 */
import type { StreamName } from '#contracts/streams.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { Logger } from '#host/log.ts';
import type { Bus } from '#host/nats.ts';

/** What of each stream goes, apart by who reads it. Uses of approvals stay: a forgotten one would be accepted again. */
const TRIMMED = [
  ['DECISIONS', SUBJECTS.batches],
  ['DECISIONS', SUBJECTS.holds],
  ['OUTCOMES', SUBJECTS.outcomes],
  ['APPROVALS', SUBJECTS.approvals],
  ['CONTROL', SUBJECTS.controls],
] as const satisfies (readonly [stream: StreamName, subjects: string])[];
type Part = (typeof TRIMMED)[number];

interface Sample {
  readonly at: number;
  readonly through: number;
}

export interface Trimmer {
  /** Looks at every stream once and purges what was safe `keepMs` ago. */
  readonly pass: () => Promise<void>;
  readonly close: () => void;
}

const PASS_MS = 60_000;

/**
 * Passes every minute. The age of an entry is counted from when it was first seen to be safe, so after a start nothing
 * goes for `keepMs`.
 * @param sealedThrough sequence of a stream up to which every entry is safe elsewhere
 */
export function startTrimmer(
  bus: Bus,
  options: {
    readonly sealedThrough: (stream: StreamName) => Promise<number>;
    readonly keepMs: number;
    readonly log: Logger;
  },
): Trimmer {
  const { sealedThrough, keepMs, log } = options;
  const samples = new Map<string, Sample[]>();

  const trim = async ([stream, filter]: Part) => {
    const through = Math.min(await sealedThrough(stream), await readByAll(bus, stream, filter));
    const earlier = [...(samples.get(filter) ?? []), { at: Date.now(), through }];
    const old = earlier.findLast(({ at }) => at <= Date.now() - keepMs);
    samples.set(filter, old === undefined ? earlier : earlier.slice(earlier.indexOf(old)));
    // A consumer that is new, or was reset, has a floor below what an old sample saw.
    const limit = Math.min(old?.through ?? 0, through);
    if (limit === 0) return;
    const { purged } = await bus.jsm.streams.purge(stream, { filter, seq: limit + 1 });
    if (purged > 0) log.info({ stream, purged, through: limit }, 'spool trimmed');
  };

  const pass = async () => {
    for (const part of TRIMMED) {
      await trim(part).catch((error: unknown) =>
        log.warn({ err: error, stream: part[0] }, 'spool not trimmed'),
      );
    }
  };
  const timer = setInterval(() => void pass(), PASS_MS);
  return { pass, close: () => clearInterval(timer) };
}

/** Sequence up to which every durable consumer that gets these subjects of a stream has acknowledged. */
async function readByAll(bus: Bus, stream: StreamName, subjects: string): Promise<number> {
  let floor = Number.MAX_SAFE_INTEGER;
  for await (const consumer of bus.jsm.consumers.list(stream)) {
    const {
      durable_name: name,
      filter_subject: only,
      filter_subjects: some = [],
    } = consumer.config;
    const filters = only === undefined ? some : [only];
    if (name === undefined || (filters.length > 0 && !filters.includes(subjects))) continue;
    // The floor of one that has read everything may stand at the last message that was for it.
    const done = consumer.num_pending === 0 && consumer.num_ack_pending === 0;
    if (!done) floor = Math.min(floor, consumer.ack_floor.stream_seq);
  }
  return floor;
}

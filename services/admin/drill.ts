/** Measures how fast a kill switch reaches every living process, without stopping anything. */
import { randomUUID } from 'node:crypto';

import type { Changed } from '#contracts/admin-bodies.ts';
import {
  type Beat,
  DRILL_MS_DEFAULT,
  type DrillReport,
  type DrillRequest,
} from '#contracts/drill.ts';
import { PLATFORM } from '#contracts/ids.ts';
import type { Bus } from '#host/nats.ts';

import type { RecordChange } from './change.ts';

const ROUNDS_DEFAULT = 10;
/** A process writes one each second; who wrote none for longer than this is not living. */
const BEAT_MS_MAX = 3_000;
const PREFIX = 'beat.';

/** Runs a drill. @throws AdminError change.not_recorded */
export type Drill = (request: DrillRequest & { readonly by: string }) => Promise<DrillReport>;

export const driller =
  (bus: Bus, record: RecordChange): Drill =>
  async ({ by, reason = '', rounds = ROUNDS_DEFAULT, within_ms: withinMs = DRILL_MS_DEFAULT }) => {
    const beats = await hearBeats(bus);
    try {
      const living = beats.living();
      const took = new Map(living.map(({ writer }) => [writer, [] as number[]]));
      const missed = new Set<string>();
      let changed: Changed | undefined;
      let round = 0;
      while (round < rounds && missed.size === 0) {
        round += 1;
        const id = randomUUID();
        const start = performance.now();
        const seen = beats.expect(id, [...took.keys()]);
        const recorded = record({
          tenant: PLATFORM,
          by,
          reason,
          change: { kind: 'switch', action: 'drill', target: 'drill', value: { id, by, reason } },
        });
        changed = await recorded;
        await Promise.race([seen.all, after(start + withinMs)]);
        for (const { writer, name } of living) {
          const ms = (seen.at.get(writer) ?? Number.POSITIVE_INFINITY) - start;
          if (ms <= withinMs) took.get(writer)?.push(ms);
          else missed.add(name);
        }
      }
      if (changed === undefined) throw new Error('a drill has at least one round');
      return {
        ...changed,
        rounds: round,
        within_ms: withinMs,
        processes: living.map(({ name, writer }) => timesOf(name, took.get(writer) ?? [])),
        missed: [...missed].sort(),
      };
    } finally {
      beats.close();
    }
  };

const after = (at: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.max(0, at - performance.now())));

function timesOf(name: string, unsorted: readonly number[]): DrillReport['processes'][number] {
  const sorted = unsorted.toSorted((a, b) => a - b);
  const at = (share: number) => round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0);
  const ms = sorted.length === 0 ? null : { p50: at(0.5), p99: at(0.99), worst: at(1) };
  return { name, seen: sorted.length, ms };
}

const round = (ms: number): number => Math.round(ms * 100) / 100;

interface Living {
  readonly name: string;
  readonly writer: string;
}

interface Seen {
  /** When the acknowledgement of each writer came, by performance.now(). */
  readonly at: ReadonlyMap<string, number>;
  readonly all: Promise<void>;
}

interface Beats {
  readonly living: () => readonly Living[];
  readonly expect: (drill: string, writers: readonly string[]) => Seen;
  readonly close: () => void;
}

/** All heartbeats, from those that stand on. Resolves when it has read these. */
async function hearBeats(bus: Bus): Promise<Beats> {
  const bucket = await bus.bucket('control');
  const entries = await bucket.watch({ key: `${PREFIX}>` });
  const known = new Map<string, Living & { readonly created: number }>();
  let heard: (writer: string, drill: string) => void = () => undefined;
  let complete = (): void => undefined;
  const snapshot = new Promise<void>((resolve) => (complete = resolve));
  const hearing = async () => {
    for await (const entry of entries) {
      if (entry.operation === 'PUT') {
        // Written by the control view of a process, in this form.
        const { writer, drill = '' } = entry.json<Beat>();
        const name = entry.key.slice(PREFIX.length);
        known.set(writer, { name, writer, created: entry.created.getTime() });
        heard(writer, drill);
      }
      if (entry.delta === 0) complete();
    }
  };
  // Whom a watch that broke does not hear has missed the drill.
  void hearing().catch(complete);
  await snapshot;
  return {
    living: () => {
      // By the broker's clock alone: this process beats too.
      const now = Math.max(...[...known.values()].map(({ created }) => created));
      return [...known.values()]
        .filter(({ created }) => now - created <= BEAT_MS_MAX)
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    expect: (id, writers) => {
      const at = new Map<string, number>();
      const waiting = new Set(writers);
      const all = new Promise<void>((resolve) => {
        heard = (writer, drill) => {
          if (drill !== id || at.has(writer)) return;
          at.set(writer, performance.now());
          waiting.delete(writer);
          if (waiting.size === 0) resolve();
        };
      });
      return { at, all };
    },
    close: () => entries.stop(),
  };
}

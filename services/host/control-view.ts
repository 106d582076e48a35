/**
 * The state that people change, held in memory and kept current by one ordered watch of bucket `control`.
 * A worker also writes its own heartbeat into the bucket and must see it come back by the same watch: that proves
 * path and order without anybody else. Silence has an age, and too old means refuse (architecture, invariant 8).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { CONTROL_KEYS, type ControlEntry } from '#contracts/control.ts';
import type { Beat, DrillOrder } from '#contracts/drill.ts';
import { parseRevision, type Revision, revisionOf } from '#contracts/ids.ts';
import { bucketStream } from '#contracts/permissions.ts';

import { clockFault, clockOffMs, type ClockReading } from './clock.ts';
import type { Logger } from './log.ts';
import type { Bus, KV, KvWatchEntry } from './nats.ts';

const BEAT_MS = 1_000;
const REWATCH_MS = 100;

export interface ControlView {
  readonly get: <T>(key: string) => ControlEntry<T> | undefined;
  /** Keys that begin with the prefix, deleted things included. */
  readonly keys: (prefix: string) => string[];
  /** Called for every entry, also those of the first snapshot, in the order of the feed. */
  readonly onChange: (listener: (key: string, entry: ControlEntry) => void) => void;
  readonly revision: () => Revision;
  readonly reached: (revision: Revision) => boolean;
  /** True once the revision is reached; false after the time. */
  readonly waitFor: (revision: Revision, timeoutMs: number) => Promise<boolean>;
  /** Milliseconds since the youngest own heartbeat that was seen (or, without one, any entry) was written. */
  readonly ageMs: () => number;
  /** Milliseconds that this clock is ahead of the broker's, by the stamp of that heartbeat; negative = behind. */
  readonly clockOffMs: (now?: number) => number;
  /** For /readyz; empty when the clocks agree. */
  readonly clockFault: () => string;
  readonly close: () => Promise<void>;
}

interface Head {
  readonly epoch: string;
}

/** Opens the view and resolves when the first snapshot is complete. @param options.beatAs name of this worker */
export async function watchControl(
  bus: Bus,
  options: { readonly log: Logger; readonly beatAs?: string },
): Promise<ControlView> {
  const bucket = await bus.bucket('control');
  const view = new View(bus, bucket, options);
  // After a reconnect a watch that the broker forgot would be noticed only by its missing heartbeats, seconds later.
  bus.onChange((connected) => {
    if (connected) view.rewatch();
  });
  await view.start();
  return {
    get: (key) => view.get(key),
    keys: (prefix) => view.keys(prefix),
    onChange: (listener) => view.listen(listener),
    revision: () => view.revision(),
    reached: (revision) => view.reached(revision),
    waitFor: (revision, timeoutMs) => view.waitFor(revision, timeoutMs),
    ageMs: () => view.ageMs(),
    clockOffMs: (now) => view.clockOffMs(now),
    clockFault: () => clockFault(view.clockOffMs(), "the broker's"),
    close: () => view.close(),
  };
}

type Listener = (key: string, entry: ControlEntry) => void;

class View {
  readonly #bus: Bus;
  readonly #bucket: KV;
  readonly #log: Logger;
  readonly #beatKey: string;
  readonly #writer = randomUUID();
  readonly #entries = new Map<string, ControlEntry>();
  /** Bucket revision by key: what a rewatch replays is dropped unless it is newer. */
  readonly #seen = new Map<string, number>();
  /** When the bucket was made: another one has revisions of its own, and nothing of this one stands in it. */
  #bucketMade = '';
  #lastBeat = 0;
  #drill: string | undefined;
  readonly #listeners: Listener[] = [];
  #waiting: { revision: Revision; done: (reached: boolean) => void }[] = [];
  #epoch = '0';
  #sequence = 0;
  #revision: Revision = revisionOf('0', 0);
  #freshAt = performance.now();
  #brokerClock: ClockReading | undefined;
  #closed = false;
  #stopWatch: () => void = () => undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(bus: Bus, bucket: KV, { log, beatAs }: { log: Logger; beatAs?: string }) {
    this.#bus = bus;
    this.#bucket = bucket;
    this.#log = log;
    this.#beatKey = beatAs === undefined ? '' : CONTROL_KEYS.beat(beatAs);
  }

  async start(): Promise<void> {
    let complete = (): void => undefined;
    const snapshot = new Promise<void>((resolve) => (complete = resolve));
    this.#running = Promise.all([this.#watch(complete), this.#beat()]);
    await snapshot;
  }

  /** One watch after the other: the client's ordered consumer heals gaps itself; a watch that ends is opened again. */
  async #watch(complete: () => void): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#lookAtBucket();
        const entries = await this.#bucket.watch();
        this.#stopWatch = () => entries.stop();
        for await (const entry of entries) {
          this.#take(entry);
          if (entry.delta === 0) complete();
        }
      } catch (error) {
        if (!this.#closed) this.#log.warn({ err: error }, 'control feed lost; watching again');
      }
      if (!this.#closed) await sleep(REWATCH_MS);
    }
  }

  /** Behind a reconnect there may be another bucket: what it does not hold is nobody's right any more. */
  async #lookAtBucket(): Promise<void> {
    const looking = this.#bus.jsm.streams.info(bucketStream('control'));
    const { created } = await this.#bus.whileConnected(looking);
    if (this.#bucketMade !== '' && this.#bucketMade !== created) {
      this.#log.error('bucket control was made anew; everything known is forgotten');
      this.#freshAt = Number.NEGATIVE_INFINITY;
      this.#seen.clear();
      for (const [key, { sequence, at }] of this.#entries)
        this.#set(key, { sequence, at, value: null });
    }
    this.#bucketMade = created;
  }

  rewatch(): void {
    this.#stopWatch();
  }

  /**
   * Nobody waits for a beat: one that was on its way when the broker went ends only by its time-out, and the feed would
   * count as silent long after the broker is back.
   */
  async #beat(): Promise<void> {
    while (this.#beatKey !== '' && !this.#closed) {
      this.#putBeat();
      await sleep(BEAT_MS);
    }
  }

  #putBeat(): void {
    const drill = this.#drill === undefined ? {} : { drill: this.#drill };
    const beat: Beat = { writer: this.#writer, at: performance.now(), ...drill };
    void this.#bucket.put(this.#beatKey, JSON.stringify(beat)).then(
      (revision) => this.#stored(revision),
      () => undefined, // a beat that cannot be written shows as age
    );
  }

  /** Said at once: somebody measures how fast a kill switch gets here. */
  #drilled({ value }: ControlEntry<DrillOrder>): void {
    if (value === null) return;
    this.#drill = value.id;
    if (this.#beatKey !== '') this.#putBeat();
  }

  /** Revisions only grow: a lower one is another bucket's, and the watch of one that is gone may not notice. */
  #stored(revision: number): void {
    if (revision < this.#lastBeat) this.rewatch();
    this.#lastBeat = revision;
  }

  #take(entry: KvWatchEntry): void {
    if ((this.#seen.get(entry.key) ?? 0) >= entry.revision) return;
    this.#seen.set(entry.key, entry.revision);
    if (entry.key.startsWith('beat.')) return this.#heard(entry);
    if (this.#beatKey === '') this.#freshAt = performance.now();
    const gone = entry.operation !== 'PUT';
    // Written by the projector in this form; a value that is not JSON would be a bug of ours.
    this.#set(
      entry.key,
      gone ? { sequence: 0, at: entry.created.getTime(), value: null } : entry.json(),
    );
  }

  /** A heartbeat is as old as it is, however lately it came: a feed that lags is stale too. */
  #heard(entry: KvWatchEntry): void {
    if (entry.key !== this.#beatKey || entry.operation !== 'PUT') return;
    const beat = entry.json<Beat>();
    if (beat.writer !== this.#writer) return;
    this.#freshAt = beat.at;
    // The broker stamped it after it was sent and before it came back.
    const theirs = entry.created.getTime();
    this.#brokerClock = { theirs, from: beat.at, to: performance.now() };
  }

  #set(key: string, entry: ControlEntry): void {
    this.#entries.set(key, entry);
    for (const listener of this.#listeners) this.#tell(listener, key, entry);
    if (key === CONTROL_KEYS.drill) this.#drilled(entry as ControlEntry<DrillOrder>);
    if (key === CONTROL_KEYS.head) this.#advance(entry as ControlEntry<Head>);
  }

  /** One value that cannot be used must not keep a process from hearing of all others. */
  #tell(listener: Listener, key: string, entry: ControlEntry): void {
    try {
      listener(key, entry);
    } catch (error) {
      this.#log.error({ err: error, key }, 'a value of the control feed cannot be used');
    }
  }

  #advance(head: ControlEntry<Head>): void {
    this.#epoch = head.value?.epoch ?? '0';
    this.#sequence = head.sequence;
    this.#revision = revisionOf(this.#epoch, this.#sequence);
    this.#waiting = this.#waiting.filter(({ revision, done }) => {
      if (!this.reached(revision)) return true;
      done(true);
      return false;
    });
  }

  get<T>(key: string): ControlEntry<T> | undefined {
    // The projector writes only values that were checked against the schema of their key.
    return this.#entries.get(key) as ControlEntry<T> | undefined;
  }

  keys(prefix: string): string[] {
    return [...this.#entries.keys()].filter((key) => key.startsWith(prefix));
  }

  listen(listener: Listener): void {
    this.#listeners.push(listener);
    for (const [key, entry] of this.#entries) this.#tell(listener, key, entry);
  }

  revision(): Revision {
    return this.#revision;
  }

  /** A revision of another epoch is never reached: the feed it belongs to is gone. */
  reached(revision: Revision): boolean {
    const asked = parseRevision(revision);
    return asked !== undefined && asked.epoch === this.#epoch && asked.sequence <= this.#sequence;
  }

  waitFor(revision: Revision, timeoutMs: number): Promise<boolean> {
    if (this.reached(revision)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((waiter) => waiter !== mine);
        resolve(false);
      }, timeoutMs);
      const mine = {
        revision,
        done: (reached: boolean) => {
          clearTimeout(timer);
          resolve(reached);
        },
      };
      this.#waiting.push(mine);
    });
  }

  ageMs(): number {
    return performance.now() - this.#freshAt;
  }

  clockOffMs(now?: number): number {
    return this.#brokerClock === undefined ? 0 : clockOffMs(this.#brokerClock, now);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWatch();
    await this.#running;
  }
}

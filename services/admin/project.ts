/**
 * The projector: reads CONTROL in order and keeps bucket `control` (and `keyed`) at what the events say. Every write is
 * conditional on what was read and on the event's sequence, so redelivery, a crash at any step and several projectors
 * at once change nothing; `head` comes last, so a revision is reached only when all of its event is there.
 */
import { readChange } from '#contracts/change.ts';
import { CONTROL_KEYS, type ControlEntry } from '#contracts/control.ts';
import { checkMac, type MacKeys } from '#contracts/mac.ts';
import { decodeRecords, MalformedRecords, type RecordLines } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { consume, type Delivered, type Handled } from '#host/consume.ts';
import type { Logger } from '#host/log.ts';
import { counter, gauge } from '#host/metrics.ts';
import type { Bus, KV } from '#host/nats.ts';

import { effectsOf, entryAfter, type Next } from './apply.ts';

export interface Projector {
  readonly stop: () => Promise<void>;
  /** Events that wait behind the last one seen. */
  readonly lag: () => number;
  /** Why nothing is projected; empty = all is well. */
  readonly fault: () => string;
}

/** Writer of changes. Others may publish on CONTROL too (alerts), but change no state. */
const WRITER = 'admin';
const WRITES_AT_ONCE = 32;
const CONFLICTS_MAX = 8;
const WRONG_LAST_SEQUENCE = 10071;
/** Before an event is looked at again that only a newer version, or a repaired bucket, can apply. */
const BLOCKED_RETRY_MS = 1_000;

const events = counter<{ result: string }>(
  'countersign_control_events',
  'Events of the control feed by what became of them.',
);

/** Starts projecting. @param macKeys of every process that may write on CONTROL */
export async function startProjector(
  bus: Bus,
  { log, macKeys }: { readonly log: Logger; readonly macKeys: MacKeys },
): Promise<Projector> {
  const projecting = new Projecting(bus, {
    log,
    macKeys,
    control: await bus.bucket('control'),
    keyed: await bus.bucket('keyed'),
  });
  const consuming = consume(bus, 'project-control', { batchMax: 1, log }, (batch) =>
    projecting.handle(batch),
  );
  gauge('countersign_control_lag_events', 'Control events that wait to be projected.', () =>
    consuming.lag(),
  );
  return { stop: consuming.stop, lag: consuming.lag, fault: () => projecting.fault };
}

interface Surroundings {
  readonly log: Logger;
  readonly macKeys: MacKeys;
  readonly control: KV;
  readonly keyed: KV;
}

class Projecting {
  readonly #bus: Bus;
  readonly #log: Logger;
  readonly #macKeys: MacKeys;
  readonly #control: KV;
  readonly #keyed: KV;
  #epoch: Promise<string> | undefined;
  fault = '';

  constructor(bus: Bus, { log, macKeys, control, keyed }: Surroundings) {
    this.#bus = bus;
    this.#log = log;
    this.#macKeys = macKeys;
    this.#control = control;
    this.#keyed = keyed;
    // Behind a reconnect there may be another stream.
    bus.onChange(() => (this.#epoch = undefined));
  }

  /** One message at a time (the consumer's limit): events take effect strictly in their order. */
  async handle(batch: readonly Delivered[]): Promise<Handled> {
    for (const message of batch) {
      const epoch = await (this.#epoch ??= this.#bus.epoch('CONTROL'));
      this.fault = await this.#foreignHead(epoch);
      if (this.fault === '') this.fault = await this.#project(message);
      if (this.fault !== '') {
        this.#log.error({ sequence: message.sequence, fault: this.fault }, 'not projected');
        return { retryInMs: BLOCKED_RETRY_MS };
      }
      await this.#write(CONTROL_KEYS.head, () => ({ epoch }), {
        sequence: message.sequence,
        at: message.storedAt,
      });
    }
    return 'done';
  }

  /** A bucket that another CONTROL stream filled has higher sequences than ours will have for long. */
  async #foreignHead(epoch: string): Promise<string> {
    const { entry } = await this.#read(CONTROL_KEYS.head);
    // Head is written by this class and by the migration, in this form.
    const head = entry?.value as { epoch: string } | null | undefined;
    return head === undefined || head === null || head.epoch === epoch
      ? ''
      : `bucket control belongs to another CONTROL stream (${head.epoch}, not ${epoch})`;
  }

  /** Applies a message's change. Gives why it must wait; what nobody could ever apply is told and left out. */
  async #project(message: Delivered): Promise<string> {
    const { subject, body, mac, sequence } = message;
    const signed = checkMac(this.#macKeys, { subject, body, header: mac });
    const refuse = (fault: string): void => {
      events.add(1, { result: 'refused' });
      this.#log.error({ sequence, subject, fault }, 'control event refused');
    };
    if ('fault' in signed) {
      refuse(`MAC ${signed.fault}`); // the chainer raises the alert
      return '';
    }
    const record = onlyRecord(body);
    if (record === undefined) {
      refuse('not one record');
      return '';
    }
    const read = readChange(record);
    switch (read.is) {
      case 'stateless':
        events.add(1, { result: 'stateless' });
        return '';
      case 'unknown':
        return `only a newer version can apply ${read.detail}`;
      case 'unreadable':
        refuse(read.detail);
        return '';
      case 'change': {
        const { tenant, at, change } = read.event;
        if (signed.writer !== WRITER || subject !== SUBJECTS.control(tenant, change.kind)) {
          refuse(`${change.kind} by ${signed.writer} on another subject`);
          return '';
        }
        const { state, minted } = effectsOf(read.event);
        for (const [key, root] of minted) await this.#keyed.put(key, JSON.stringify(root));
        await eachOf([...state], WRITES_AT_ONCE, ([key, next]) =>
          this.#write(key, next, { sequence, at }),
        );
        events.add(1, { result: 'applied' });
        return '';
      }
    }
  }

  async #read(key: string): Promise<{ entry: ControlEntry | undefined; revision: number }> {
    const stored = await this.#control.get(key);
    if (stored === null) return { entry: undefined, revision: 0 };
    // Only this class and the migration write entries.
    const entry = stored.operation === 'PUT' ? stored.json<ControlEntry>() : undefined;
    return { entry, revision: stored.revision };
  }

  /** Compare and swap: a read may be stale and another projector may be at work; the broker decides. */
  async #write(key: string, next: Next, stamp: { sequence: number; at: number }): Promise<void> {
    for (let attempt = 0; attempt < CONFLICTS_MAX; attempt++) {
      const { entry, revision } = await this.#read(key);
      const after = entryAfter(entry, next, stamp);
      if (after === undefined) return;
      try {
        const text = JSON.stringify(after);
        if (revision === 0) await this.#control.create(key, text);
        else await this.#control.update(key, text, revision);
        return;
      } catch (error) {
        if ((error as { code?: number }).code !== WRONG_LAST_SEQUENCE) throw error;
      }
    }
    throw new Error(`${key} changes too fast`);
  }
}

/** A control message holds exactly one record: its sequence is the revision of one change. */
function onlyRecord(body: Uint8Array): RecordLines | undefined {
  try {
    const records = decodeRecords(new TextDecoder().decode(body));
    return records.length === 1 ? records[0] : undefined;
  } catch (error) {
    if (error instanceof MalformedRecords) return undefined;
    throw error;
  }
}

/** Runs over all items, at most `width` at once; rejects with the first failure. */
async function eachOf<T>(
  items: readonly T[],
  width: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  const lane = async () => {
    for (const item of rest) await run(item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
}

import { TAKE_KNOWN_MS } from '#contracts/budget.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { bucketStream } from '#contracts/permissions.ts';
/** Streams, consumers and buckets at the broker, made from the one table. Idempotent; safe when several run at once. */
import {
  type BucketName,
  BUCKETS,
  type ConsumerName,
  CONSUMERS,
  type ConsumerSpec,
  type StreamName,
  type StreamSpec,
  STREAMS,
} from '#contracts/streams.ts';
import { AckPolicy, type Bus, DiscardPolicy, RetentionPolicy, StorageType } from '#host/nats.ts';

const NANOS = 1_000_000;
const DUPLICATE_WINDOW_MS = 120_000;

export interface StreamOptions {
  readonly replicas: number;
  /** Divides the byte limits of the table, for small disks (1 = the table). */
  readonly shrink: number;
}

/** Brings the broker to the table: creates what is missing, updates limits of what is there. */
export async function migrateStreams(bus: Bus, options: StreamOptions): Promise<void> {
  for (const name of Object.keys(STREAMS) as StreamName[]) {
    await ensureStream(bus, { name, ...streamConfig(STREAMS[name], options) });
  }
  for (const name of Object.keys(BUCKETS) as BucketName[]) await ensureBucket(bus, name, options);
  for (const name of Object.keys(CONSUMERS) as ConsumerName[]) await ensureConsumer(bus, name);
  await ensureHead(bus);
}

function streamConfig(spec: StreamSpec, options: StreamOptions): Record<string, unknown> {
  return {
    subjects: spec.subjects,
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    num_replicas: options.replicas,
    max_age: spec.ageMaxMs * NANOS,
    max_bytes: spec.bytesMax === 0 ? -1 : Math.floor(spec.bytesMax / options.shrink),
    allow_direct: true,
    ...(spec.counter
      ? {
          allow_msg_counter: true,
          discard: DiscardPolicy.Old,
          max_msgs_per_subject: 1,
          duplicate_window: TAKE_KNOWN_MS * NANOS,
        }
      : {
          discard: spec.feed === true ? DiscardPolicy.Old : DiscardPolicy.New,
          duplicate_window: DUPLICATE_WINDOW_MS * NANOS,
        }),
  };
}

/** The JetStream error code for "no such stream" and "no such consumer". */
const NOT_FOUND = new Set([10059, 10014]);

async function exists(look: Promise<unknown>): Promise<boolean> {
  return look.then(
    () => true,
    (error: unknown) => {
      if (NOT_FOUND.has((error as { code?: number }).code ?? 0)) return false;
      throw error;
    },
  );
}

async function ensureStream(
  bus: Bus,
  config: { name: string } & Record<string, unknown>,
): Promise<void> {
  const { streams } = bus.jsm;
  if (await exists(streams.info(config.name))) await streams.update(config.name, config as never);
  else await streams.add(config as never);
}

/** Buckets are streams by convention of the client libraries (ADR-8, ADR-20); made here, only bound elsewhere. */
async function ensureBucket(bus: Bus, name: BucketName, options: StreamOptions): Promise<void> {
  const spec = BUCKETS[name];
  const common = {
    name: bucketStream(name),
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    num_replicas: options.replicas,
    max_age: spec.ageMaxMs * NANOS,
    max_bytes: Math.floor(spec.bytesMax / options.shrink),
    allow_rollup_hdrs: true,
    allow_direct: true,
  };
  if (spec.kind === 'kv') {
    await ensureStream(bus, {
      ...common,
      subjects: [`$KV.${name}.>`],
      max_msgs_per_subject: 1,
      deny_delete: true,
      ...(spec.ageMaxMs === 0
        ? {}
        : { duplicate_window: Math.min(DUPLICATE_WINDOW_MS, spec.ageMaxMs) * NANOS }),
    });
  } else {
    await ensureStream(bus, { ...common, subjects: [`$O.${name}.C.>`, `$O.${name}.M.>`] });
  }
}

async function ensureConsumer(bus: Bus, name: ConsumerName): Promise<void> {
  const spec: ConsumerSpec = CONSUMERS[name];
  const config = {
    durable_name: name,
    ack_policy: AckPolicy.Explicit,
    ack_wait: spec.ackWaitMs * NANOS,
    max_deliver: spec.deliveriesMax,
    max_ack_pending: spec.pendingMax,
    ...(spec.filters === undefined ? {} : { filter_subjects: spec.filters }),
  };
  const { consumers } = bus.jsm;
  if (await exists(consumers.info(spec.stream, name)))
    await consumers.update(spec.stream, name, config as never);
  else await consumers.add(spec.stream, config as never);
}

/** Watchers see the end of the first snapshot only when there is at least one entry: the head is there from the start. */
async function ensureHead(bus: Bus): Promise<void> {
  const control = await bus.bucket('control');
  const epoch = await bus.epoch('CONTROL');
  await control
    .create(CONTROL_KEYS.head, JSON.stringify({ sequence: 0, at: 0, value: { epoch } }))
    .catch((error: unknown) => {
      if ((error as { code?: number }).code !== 10071) throw error; // wrong last sequence: it is there
    });
}

/**
 * The only file that imports the NATS client. Connects with the process's own credentials and inbox, refuses
 * brokers that are too old, and asks the server which durability its acknowledgements really have.
 */
import { readFile } from 'node:fs/promises';

import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { KV } from '@nats-io/kv';
import { Objm } from '@nats-io/obj';
import type { ObjectStore } from '@nats-io/obj';
import { connect, headers } from '@nats-io/transport-node';
import type { Msg, MsgHdrs, NatsConnection } from '@nats-io/transport-node';

import type { Durability } from '#contracts/call.ts';
import { type BucketName, type StreamName, STREAMS } from '#contracts/streams.ts';
import { inboxPrefix } from '#contracts/subjects.ts';

import { createStore, type Store } from './store.ts';

export type { ConsumerMessages, JsMsg } from '@nats-io/jetstream';
export type { KV, KvWatchEntry } from '@nats-io/kv';
export type { JetStreamClient, JetStreamManager, Msg, MsgHdrs, ObjectStore };
export {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream';

export type BusFault = 'too_old' | 'unreachable' | 'not_durable' | 'unsupported';

/** Failure at the broker's edge; library errors do not cross this file's functions without it where a caller decides on them. */
export class BusError extends Error {
  readonly code: BusFault;
  constructor(code: BusFault, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

export interface BusOptions {
  readonly url: string;
  readonly user: string;
  readonly passwordFile: string;
  readonly monitorUrl: string;
}

/** One connection to the broker with everything that services use of it. */
export interface Bus {
  readonly user: string;
  readonly inbox: string;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  /** False from the moment the connection is lost until it is back and the broker was checked again. */
  readonly connected: () => boolean;
  /** Calls back on each change of `connected`. */
  readonly onChange: (listener: (connected: boolean) => void) => void;
  /**
   * The same work, but rejected the moment the connection is lost: what was on its way then is never answered, and
   * would otherwise hold up whoever waits behind it until its time-out.
   */
  readonly whileConnected: <T>(work: Promise<T>) => Promise<T>;
  readonly publish: (subject: string, body: string | Uint8Array, reply?: string) => void;
  /** Stores one message in its stream. @throws NotStored, at once when the connection is lost */
  readonly store: Store;
  /** One answer to one message. @throws when nobody is there, or none comes in time */
  readonly request: (
    subject: string,
    body: string,
    options: { readonly headers: MsgHdrs; readonly timeoutMs: number },
  ) => Promise<Msg>;
  readonly subscribe: (
    subject: string,
    options: { readonly queue?: string },
    handle: (message: Msg) => void,
  ) => { readonly drain: () => Promise<void> };
  readonly bucket: (name: BucketName) => Promise<KV>;
  readonly objects: (name: BucketName) => Promise<ObjectStore>;
  /** Class of an acknowledgement, as the server and the stream say it now. */
  readonly durability: (stream: StreamName) => Promise<Durability>;
  /** Epoch of a stream: a stream made anew has another one. Base 36 of its creation in milliseconds. */
  readonly epoch: (stream: StreamName) => Promise<string>;
  readonly close: () => Promise<void>;
}

/** Fresh message headers. */
export const newHeaders = (): MsgHdrs => headers();

/** 2.12.12 or later of 2.12, or 2.14.0 or later: older servers silently ignore counters, TTL and batches. */
export function acceptsVersion(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number);
  if (major !== 2) return major > 2;
  return minor >= 14 || (minor === 12 && patch >= 12);
}

const RECONNECT_MS = 100;

/** @throws BusError `too_old` or `unreachable` */
export async function connectBus(options: BusOptions): Promise<Bus> {
  const pass =
    options.passwordFile === '' ? undefined : (await readFile(options.passwordFile, 'utf8')).trim();
  const inbox = inboxPrefix(options.user);
  const connection = await connect({
    servers: options.url,
    name: options.user,
    ...(pass === undefined ? {} : { user: options.user, pass }),
    inboxPrefix: inbox,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_MS,
    reconnectJitter: RECONNECT_MS / 2,
    // The broker is found dead by its silence within 4 s even where the socket stays open.
    pingInterval: 2_000,
    maxPingOut: 2,
    // Captured call sites cost nearly a third of a request's CPU (docs/performance.md).
    noAsyncTraces: true,
    ignoreAuthErrorAbort: true,
  }).catch((cause: unknown) => {
    throw new BusError('unreachable', `NATS at ${options.url} cannot be reached`, cause);
  });
  try {
    checkVersion(connection);
  } catch (error) {
    await connection.close();
    throw error;
  }
  return busOver(connection, options, inbox);
}

function checkVersion(connection: NatsConnection): void {
  const version = connection.info?.version ?? '0';
  if (!acceptsVersion(version)) {
    throw new BusError(
      'too_old',
      `nats-server ${version} is too old: 2.12.12 or later of 2.12, or 2.14.0 or later`,
    );
  }
}

async function busOver(
  connection: NatsConnection,
  options: BusOptions,
  inbox: string,
): Promise<Bus> {
  const js = jetstream(connection, { timeout: 5_000 });
  const jsm = await jetstreamManager(connection, { checkAPI: false, timeout: 5_000 });
  const listeners: ((connected: boolean) => void)[] = [];
  let connected = true;
  const pending = new Set<(error: BusError) => void>();
  const { store, lost } = createStore(connection, inbox);
  const tell = (now: boolean) => {
    if (now === connected) return;
    connected = now;
    if (!now) {
      lost();
      for (const reject of pending) reject(new BusError('unreachable', 'the bus went away'));
    }
    for (const listener of listeners) listener(now);
  };
  void watchStatus(connection, tell);
  const kvm = new Kvm(js);
  const objm = new Objm(js);
  const monitor = options.monitorUrl;
  return {
    user: options.user,
    inbox,
    js,
    jsm,
    connected: () => connected,
    onChange: (listener) => void listeners.push(listener),
    whileConnected: (work) =>
      new Promise((resolve, reject) => {
        pending.add(reject);
        void work.then(resolve, reject).finally(() => pending.delete(reject));
      }),
    publish: (subject, body, reply) =>
      connection.publish(subject, body, reply === undefined ? undefined : { reply }),
    store,
    request: (subject, body, { headers: own, timeoutMs }) =>
      connection.request(subject, body, { headers: own, timeout: timeoutMs }),
    subscribe: (subject, { queue }, handle) =>
      connection.subscribe(subject, {
        ...(queue === undefined ? {} : { queue }),
        callback: (error, message) => {
          if (error === null) handle(message);
        },
      }),
    bucket: (name) => kvm.open(name, { bindOnly: true } as never),
    objects: (name) => objm.open(name, false),
    durability: (stream) => durabilityOf(connection, jsm, { monitor, stream }),
    epoch: async (stream) => Date.parse((await jsm.streams.info(stream)).created).toString(36),
    close: async () => {
      await connection.drain().catch(() => connection.close());
    },
  };
}

async function watchStatus(
  connection: NatsConnection,
  tell: (connected: boolean) => void,
): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === 'reconnect') {
      checkVersion(connection); // an older broker after a failover ends the process: better none than a false one
      tell(true);
    } else if (
      status.type === 'disconnect' ||
      status.type === 'staleConnection' ||
      status.type === 'close'
    ) {
      tell(false);
    }
  }
}

interface Varz {
  readonly server_id?: string;
  readonly jetstream?: { readonly config?: { readonly sync_always?: boolean } };
}

/**
 * power-cut: file storage, every write synced before the acknowledgement. process-crash: file storage, synced
 * later. none: anything else, and whenever the server cannot be asked: durability is never assumed.
 */
async function durabilityOf(
  connection: NatsConnection,
  jsm: JetStreamManager,
  from: { readonly monitor: string; readonly stream: StreamName },
): Promise<Durability> {
  const { config } = await jsm.streams.info(from.stream);
  if (config.storage !== 'file' || !(from.stream in STREAMS)) return 'none';
  if ((config as { persist_mode?: string }).persist_mode === 'async') return 'none';
  const answer = await fetch(new URL('/varz', from.monitor), {
    signal: AbortSignal.timeout(2_000),
  });
  // The monitoring endpoint of the server is the source of this shape; absent members count as "not synced".
  const varz = (await answer.json()) as Varz;
  if (varz.server_id !== connection.info?.server_id) return 'process-crash';
  return varz.jetstream?.config?.sync_always === true ? 'power-cut' : 'process-crash';
}

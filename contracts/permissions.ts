/**
 * What each process may publish and subscribe at the broker, derived from the tables of subjects, streams, consumers
 * and buckets; and the nats.conf made of it, which every shape runs. Permissions bound what a process can reach; that
 * a record is its writer's is proved by its MAC (mac.ts).
 */
import { APPROVAL_KEYS } from './approval.ts';
import {
  type BucketName,
  BUCKETS,
  type ConsumerName,
  CONSUMERS,
  type StreamName,
  STREAMS,
} from './streams.ts';
import { inboxPrefix, pullSubject, SUBJECTS } from './subjects.ts';

export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Stream behind a bucket, as the client libraries name it. */
export const bucketStream = (bucket: BucketName) =>
  BUCKETS[bucket].kind === 'kv' ? `KV_${bucket}` : `OBJ_${bucket}`;

/** The value of a budget counter. */
const readsCounters = (Object.keys(STREAMS) as StreamName[])
  .filter((stream) => STREAMS[stream].counter)
  .map((stream) => `$JS.API.DIRECT.GET.${stream}.v1.count.>`);

const streamInfo = (stream: StreamName) => `$JS.API.STREAM.INFO.${stream}`;

/** Read and watch a bucket. Creating an ordered consumer names the one filter, which the server checks. */
const reads = (bucket: BucketName): string[] => {
  const stream = bucketStream(bucket);
  const subjects = BUCKETS[bucket].kind === 'kv' ? `$KV.${bucket}.>` : `$O.${bucket}.>`;
  return [
    `$JS.API.STREAM.INFO.${stream}`,
    `$JS.API.DIRECT.GET.${stream}`,
    `$JS.API.DIRECT.GET.${stream}.${subjects}`,
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}.>`,
    `$JS.API.CONSUMER.INFO.${stream}.>`,
    `$JS.API.CONSUMER.DELETE.${stream}.>`,
    `$JS.FC.${stream}.>`,
  ];
};

const writes = (bucket: BucketName) =>
  BUCKETS[bucket].kind === 'kv' ? `$KV.${bucket}.>` : `$O.${bucket}.>`;

const consumes = (name: ConsumerName): string[] => {
  const { stream } = CONSUMERS[name];
  return [
    streamInfo(stream),
    `$JS.API.CONSUMER.INFO.${stream}.${name}`,
    pullSubject(stream, name),
    `$JS.ACK.${stream}.${name}.>`,
  ];
};

const consumed = (process: string) =>
  (Object.keys(CONSUMERS) as ConsumerName[]).filter((name) => CONSUMERS[name].process === process);

/** Streams that the chainer trims behind the chain. */
const TRIMMED = ['DECISIONS', 'OUTCOMES', 'APPROVALS', 'CONTROL'] as const satisfies StreamName[];

const own = (process: string) => `${inboxPrefix(process)}.>`;

/** What a process hears beside its own inbox. */
const LISTENS: Readonly<Record<string, readonly string[]>> = {
  'decision-worker': [SUBJECTS.calls],
  'approval-escalation': [SUBJECTS.helds],
  notifier: [SUBJECTS.notifies],
  ingress: [APPROVAL_KEYS.idSubjects],
};

function publishes(): Record<string, readonly string[]> {
  return {
    ingress: [
      SUBJECTS.calls,
      SUBJECTS.outcomes,
      streamInfo('OUTCOMES'),
      SUBJECTS.helds,
      '$KV.control.beat.>',
      ...reads('control'),
      ...reads('approvals'),
    ],
    'decision-worker': [
      `${inboxPrefix('ingress')}.>`,
      SUBJECTS.decisions,
      SUBJECTS.uses,
      streamInfo('DECISIONS'),
      'v1.count.>',
      ...readsCounters,
      SUBJECTS.journals,
      SUBJECTS.allAnswers,
      '$JS.API.DIRECT.GET.ANSWERS',
      'v1.control.*.alert',
      streamInfo('CONTROL'),
      '$KV.control.beat.>',
      '$KV.control.runaway.>',
      '$KV.control.signer.>',
      ...reads('control'),
      ...reads('keyed'),
      ...reads('calls'),
      writes('calls'),
      ...reads('proofs'),
      writes('proofs'),
      ...reads('approvals'),
      ...reads('bundles'),
    ],
    'audit-chainer': [
      ...consumed('audit-chainer').flatMap(consumes),
      ...TRIMMED.flatMap((stream) => [
        streamInfo(stream),
        `$JS.API.STREAM.PURGE.${stream}`,
        `$JS.API.STREAM.MSG.GET.${stream}`,
        `$JS.API.CONSUMER.LIST.${stream}`,
      ]),
      'v1.control._platform.alert',
      SUBJECTS.sealed,
      streamInfo('SEALED'),
      `$JS.API.DIRECT.GET.SEALED.${SUBJECTS.sealedCheckpoints}`,
    ],
    'approval-escalation': [
      ...['admin', 'ingress', 'notifier'].map((asker) => `${inboxPrefix(asker)}.>`),
      ...consumed('approval-escalation').flatMap(consumes),
      SUBJECTS.approvals,
      streamInfo('APPROVALS'),
      '$KV.control.beat.>',
      ...reads('control'),
      ...reads('approvals'),
      writes('approvals'),
    ],
    notifier: [
      ...consumed('notifier').flatMap(consumes),
      SUBJECTS.helds,
      `${inboxPrefix('admin')}.>`,
      'v1.control.*.alert',
      streamInfo('CONTROL'),
    ],
    'budget-settler': [
      ...consumed('budget-settler').flatMap(consumes),
      'v1.count.>',
      streamInfo('JOURNAL'),
      '$JS.API.DIRECT.GET.JOURNAL',
      `$JS.API.DIRECT.GET.JOURNAL.${SUBJECTS.journals}`,
      '$JS.API.STREAM.PURGE.JOURNAL',
      streamInfo('DECISIONS'),
      '$JS.API.DIRECT.GET.DECISIONS',
    ],
    admin: [
      SUBJECTS.controls,
      SUBJECTS.helds,
      SUBJECTS.notifies,
      streamInfo('CONTROL'),
      ...consumed('admin').flatMap(consumes),
      ...reads('control'),
      writes('control'),
      ...reads('keyed'),
      writes('keyed'),
      ...reads('deliveries'),
      writes('deliveries'),
      ...reads('bundles'),
      writes('bundles'),
      '$JS.API.STREAM.PURGE.OBJ_bundles',
      'v1.count.>',
    ],
    migrate: ['$JS.API.>', writes('control'), '$JS.FC.>'],
  };
}

/** Permissions of each process of the platform. `operator` is a person's key for doctor, tests and repair: everything. */
export function permissions(): Readonly<Record<string, Permissions>> {
  const table: Record<string, Permissions> = {};
  for (const [process, publish] of Object.entries(publishes())) {
    table[process] = {
      // The client asks for the account's limits before it opens a bucket.
      publish: [...new Set([...publish, '$JS.API.INFO'])].sort(),
      subscribe: [own(process), ...(LISTENS[process] ?? [])],
    };
  }
  table['operator'] = { publish: ['>'], subscribe: ['>'] };
  return table;
}

/** Name of the environment variable with a user's password, for the server itself. */
export const passwordVariable = (user: string) =>
  `COUNTERSIGN_NATS_PASSWORD_${user.toUpperCase().replaceAll('-', '_')}`;

const list = (subjects: readonly string[]) =>
  subjects.map((subject) => `          ${JSON.stringify(subject)}`).join('\n');

/** Text of compose/nats.conf. Ports, store, its key and passwords come from the server's own environment. */
export function natsConf(): string {
  const users = Object.entries(permissions())
    .map(
      ([user, { publish, subscribe }]) => `    {
      user: ${user}
      password: $${passwordVariable(user)}
      permissions: {
        publish: [
${list(publish)}
        ]
        subscribe: [
${list(subscribe)}
        ]
      }
    }`,
    )
    .join('\n');
  return `# Generated by "npm run generate" from contracts/permissions.ts. Do not edit.
server_name: $COUNTERSIGN_NATS_NAME
host: $COUNTERSIGN_NATS_HOST
port: $COUNTERSIGN_NATS_PORT
http: $COUNTERSIGN_NATS_MONITOR

max_payload: 1MB
write_deadline: "10s"
# Who is cut off without a word leaves its queue group within ten seconds; the default would send it calls for minutes.
ping_interval: "3s"
ping_max: 2

jetstream: {
  store_dir: $COUNTERSIGN_NATS_STORE
  max_file_store: 32GB
  # Every acknowledged record survives a power cut; without this the default loses up to two minutes.
  sync_interval: always
  # What is stored is sealed: messages, their subjects, consumers. A store of before is sealed when the server starts.
  cipher: aes
  encryption_key: $COUNTERSIGN_NATS_STORE_KEY
  # While a key is rotated the one before, else the same.
  prev_encryption_key: $COUNTERSIGN_NATS_STORE_KEY_BEFORE
}

authorization: {
  users: [
${users}
  ]
}
`;
}

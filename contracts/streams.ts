/**
 * The one table of streams, consumers and buckets with their limits. `migrate` creates them from here in
 * every shape; services look them up by literal name.
 */
import { type BudgetWindow, SUBJECTS } from './subjects.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MIB = 1024 * 1024;

export interface StreamSpec {
  readonly subjects: readonly string[];
  /** Upper bound in bytes. A full stream refuses new records (discard new): no allow without evidence. 0 = none. */
  readonly bytesMax: number;
  /** 0 = kept until purged behind the chain. */
  readonly ageMaxMs: number;
  readonly counter: boolean;
  /** A feed of what stands elsewhere: a full one lets its oldest messages go. */
  readonly feed?: true;
  readonly purpose: string;
}

const spool = (subjects: readonly string[], bytesMax: number, purpose: string): StreamSpec => ({
  subjects,
  bytesMax,
  ageMaxMs: 0,
  counter: false,
  purpose,
});

/** A counter stream may neither discard nor expire by bytes, else budgets would silently reset (ADR-49). */
const counter = (window: BudgetWindow, ageMaxMs: number): StreamSpec => ({
  subjects: [SUBJECTS.counters(window)],
  bytesMax: 0,
  ageMaxMs,
  counter: true,
  purpose: `budget counters per ${window}; a counter outlives its window, then ages out`,
});

export const STREAMS = {
  DECISIONS: spool(
    [SUBJECTS.decisions, SUBJECTS.uses],
    4096 * MIB,
    'decision records, acknowledged before the answer',
  ),
  OUTCOMES: spool([SUBJECTS.outcomes], 1024 * MIB, 'what became of allowed calls'),
  APPROVALS: spool([SUBJECTS.approvals], 512 * MIB, 'steps of held calls'),
  CONTROL: spool([SUBJECTS.controls], 2048 * MIB, 'changes by people and systems'),
  SEALED: {
    ...spool([SUBJECTS.sealed], 1024 * MIB, 'what is under witnessed checkpoints, for SIEMs'),
    ageMaxMs: 7 * DAY_MS,
    feed: true,
  },
  COUNT_MINUTE: counter('minute', 10 * MINUTE_MS),
  COUNT_HOUR: counter('hour', 3 * HOUR_MS),
  COUNT_DAY: counter('day', 3 * DAY_MS),
  COUNT_MONTH: counter('month', 40 * DAY_MS),
  COUNT_CAPABILITY: counter('capability', 33 * DAY_MS),
  ANSWERS: {
    // About 0.9 KB for each call_id of the last 24 hours: 4.7 million of them, 55 a second all day.
    ...spool([SUBJECTS.allAnswers], 4096 * MIB, 'answers to calls with a call_id, for repeats'),
    ageMaxMs: DAY_MS,
  },
  JOURNAL: {
    // Up to 0.7 KB a call where each draws on counters of its own, so ten minutes of 2,500 a second; hot counters take less.
    ...spool([SUBJECTS.journals], 1024 * MIB, 'what workers take from counters and give back'),
    ageMaxMs: 10 * MINUTE_MS,
  },
} as const satisfies Record<string, StreamSpec>;

export type StreamName = keyof typeof STREAMS;

export interface ConsumerSpec {
  readonly stream: StreamName;
  /** The process that reads it. */
  readonly process: string;
  readonly ackWaitMs: number;
  /** Deliveries before a message counts as poison and is parked. */
  readonly deliveriesMax: number;
  readonly pendingMax: number;
  /** Subjects of the stream that it gets; without it all. */
  readonly filters?: readonly string[];
}

const chained = (stream: StreamName): ConsumerSpec => ({
  stream,
  process: 'audit-chainer',
  // What a killed chainer held comes again after this; handling a batch takes far less.
  ackWaitMs: 10_000,
  deliveriesMax: -1, // evidence is never given up: a poison record is chained as an alert by the chainer itself
  pendingMax: 2_000,
});

export const CONSUMERS = {
  'chain-decisions': chained('DECISIONS'),
  'chain-outcomes': chained('OUTCOMES'),
  'chain-approvals': chained('APPROVALS'),
  'chain-control': chained('CONTROL'),
  /** Calls that have to wait for a person, and uses of approvals. */
  'take-holds': {
    stream: 'DECISIONS',
    process: 'approval-escalation',
    ackWaitMs: 10_000,
    deliveriesMax: -1, // a held call is never forgotten: what cannot be read is told and left to the chain
    pendingMax: 500,
    filters: [SUBJECTS.holds, SUBJECTS.uses],
  },
  /** Steps of held calls that people are told of. */
  'notify-approvals': {
    stream: 'APPROVALS',
    process: 'notifier',
    ackWaitMs: 10_000,
    deliveriesMax: -1, // nobody is left unasked: what cannot be read is told and left to the chain
    pendingMax: 500,
  },
  /** Calls that did not run after all, whose budgets are given back. */
  'settle-outcomes': {
    stream: 'OUTCOMES',
    process: 'budget-settler',
    ackWaitMs: 30_000,
    deliveriesMax: -1,
    pendingMax: 500,
  },
  /** One message at a time over all replicas: control events are projected strictly in order. */
  'project-control': {
    stream: 'CONTROL',
    process: 'admin',
    ackWaitMs: 3_000,
    deliveriesMax: -1,
    pendingMax: 1,
  },
} as const satisfies Record<string, ConsumerSpec>;

export type ConsumerName = keyof typeof CONSUMERS;

export interface BucketSpec {
  readonly kind: 'kv' | 'object';
  /** 0 = entries stay. */
  readonly ageMaxMs: number;
  readonly bytesMax: number;
  readonly purpose: string;
}

export const BUCKETS = {
  control: {
    kind: 'kv',
    ageMaxMs: 0,
    bytesMax: 1024 * MIB,
    purpose: 'state that every worker watches',
  },
  keyed: {
    kind: 'kv',
    ageMaxMs: 400 * DAY_MS,
    bytesMax: 1024 * MIB,
    purpose: 'state read on a miss: minted roots',
  },
  calls: {
    kind: 'kv',
    ageMaxMs: DAY_MS,
    // About half a KB for each id of the last 24 hours: as many as ANSWERS holds.
    bytesMax: 2304 * MIB,
    purpose: 'idempotency claims',
  },
  deliveries: {
    kind: 'kv',
    ageMaxMs: DAY_MS,
    bytesMax: 128 * MIB,
    purpose: 'signed deliveries of facts that were carried out',
  },
  proofs: {
    kind: 'kv',
    // Longer than a proof is taken (sender.ts).
    ageMaxMs: 5 * MINUTE_MS,
    bytesMax: 512 * MIB,
    purpose: 'DPoP proofs that were used',
  },
  approvals: {
    kind: 'kv',
    ageMaxMs: 31 * DAY_MS,
    bytesMax: 512 * MIB,
    purpose: 'how a worker knows an approval',
  },
  bundles: {
    kind: 'object',
    ageMaxMs: 0,
    bytesMax: 2048 * MIB,
    purpose: 'compiled policies by digest',
  },
} as const satisfies Record<string, BucketSpec>;

export type BucketName = keyof typeof BUCKETS;

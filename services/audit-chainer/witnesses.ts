/**
 * Shows each new checkpoint to all witnesses of the policy and keeps what they cosign. In rounds, so that a quorum comes
 * together under one checkpoint: a round is over when its quorum is there, or nobody is left who may still answer.
 * Nothing waits for it: a witness that is slow, away or refuses is told to people, and chaining goes on.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

import type { PolicyWitness, WitnessPolicy } from '#contracts/witness-policy.ts';
import type { Logger } from '#host/log.ts';
import { consistencyProof } from '#host/tree-store.ts';

import { askWitness, type WitnessAnswer } from './ask-witness.ts';
import { keepCosignature, keyName, type Newest, newestCheckpoint } from './witnessed.ts';

export interface WitnessState {
  /** Name in the policy. */
  readonly witness: string;
  /** Size of the tree that it cosigned last, as far as it is known here. */
  readonly size: number;
  /** What is wrong with it, empty for nothing. */
  readonly fault: string;
}

export interface Witnesses {
  /** There is a new checkpoint. Without a word, one is looked for each second. */
  readonly wake: () => void;
  readonly states: () => readonly WitnessState[];
  /** Milliseconds since the oldest checkpoint was signed that is not witnessed, nor any larger one; 0 for none. */
  readonly behindMs: () => number;
  readonly close: () => Promise<void>;
}

export interface WitnessParts {
  readonly pool: pg.Pool;
  readonly policy: WitnessPolicy;
  /** Told of each checkpoint that comes to be witnessed. */
  readonly onWitnessed: () => void;
  readonly log: Logger;
  /** For tests. */
  readonly heartbeatMs?: number;
}

const LOOK_MS = 1_000;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 30_000;
/** While nothing is new, the newest checkpoint is cosigned again this often: it is still the newest. */
const HEARTBEAT_MS = 60_000;
/** A witness names another size than we know once; more often, something else moves it. */
const ASKS_MAX = 3;

/** What is known of one witness. */
interface Known {
  readonly witness: PolicyWitness;
  size: number;
  fault: string;
  busy: boolean;
  failures: number;
  /** Not asked before this time. */
  retryAt: number;
  /** When it cosigned last, by our clock. */
  cosignedAt: number;
}

/** Starts with the witnesses of the policy that have an address. */
export function startWitnesses(parts: WitnessParts): Witnesses {
  const stop = new AbortController();
  const asking: Asking = { ...parts, stopped: stop.signal };
  const known = parts.policy.witnesses
    .filter(({ url }) => url !== '')
    .map((witness): Known => ({ ...UNSEEN, witness }));
  let waitingSince: number | undefined;
  let wake = Promise.withResolvers<void>();

  const rounds = async () => {
    while (!stop.signal.aborted) {
      const woken = wake.promise;
      try {
        const newest = await newestCheckpoint(parts.pool);
        waitingSince = newest?.waitingSince;
        if (newest !== undefined) await round(newest, known, asking);
      } catch (error) {
        parts.log.warn({ err: error }, 'no checkpoint can be read');
      }
      // What came meanwhile is looked at next; else after a while, for it may be another chainer's.
      const pause = new AbortController();
      const signal = AbortSignal.any([stop.signal, pause.signal]);
      await Promise.race([woken, sleep(LOOK_MS, undefined, { signal }).catch(() => {})]);
      pause.abort();
      wake = Promise.withResolvers();
    }
  };
  const running = rounds();

  return {
    wake: () => wake.resolve(),
    states: () => known.map(({ witness, size, fault }) => ({ witness: witness.name, size, fault })),
    behindMs: () => (waitingSince === undefined ? 0 : Math.max(0, Date.now() - waitingSince)),
    close: async () => {
      stop.abort();
      wake.resolve();
      await running;
    },
  };
}

const UNSEEN = { size: 0, fault: '', busy: false, failures: 0, retryAt: 0, cosignedAt: 0 };

interface Asking extends WitnessParts {
  readonly stopped: AbortSignal;
}

/** Over when enough have cosigned, or all who were asked have answered. */
async function round(newest: Newest, known: readonly Known[], asking: Asking): Promise<void> {
  const { heartbeatMs = HEARTBEAT_MS } = asking;
  const enough = Promise.withResolvers<void>();
  const now = Date.now();
  for (const one of known) {
    // After a start: what it has cosigned is written down.
    if (one.size === 0 && newest.cosigned.has(keyName(one.witness.key))) one.size = newest.size;
  }
  const answers = known
    .filter(({ busy, retryAt }) => !busy && retryAt <= now)
    .filter(({ witness, cosignedAt }) => {
      // Once after a start, whatever is written down: this database may be an old one.
      if (cosignedAt === 0) return true;
      const seconds = newest.cosigned.get(keyName(witness.key)) ?? 0;
      return Math.max(seconds * 1_000, seconds === 0 ? 0 : cosignedAt) <= now - heartbeatMs;
    })
    .map(async (one) => {
      if (!(await cosignedBy(one, newest, asking))) return;
      asking.onWitnessed();
      enough.resolve();
    });
  await Promise.race([enough.promise, Promise.all(answers)]);
}

/** True when the checkpoint came to be witnessed by what this witness gave. Never throws; what is wrong stands in `one`. */
async function cosignedBy(one: Known, newest: Newest, asking: Asking): Promise<boolean> {
  one.busy = true;
  const { fault: before, witness } = one;
  const { fault, witnessed = false } = await ask(one, newest, asking).catch((err: unknown) => {
    asking.log.warn({ err }, 'not witnessed');
    return { fault: 'our own tree cannot be read or written', witnessed: false };
  });
  one.busy = false;
  one.fault = fault;
  one.failures = fault === '' ? 0 : one.failures + 1;
  const waitMs = Math.min(RETRY_MS_MIN * 2 ** (one.failures - 1), RETRY_MS_MAX);
  one.retryAt = fault === '' ? 0 : Date.now() + waitMs * (0.5 + Math.random() / 2);
  const said = { witness: witness.name, fault };
  if (fault !== '' && fault !== before) asking.log.error(said, 'not witnessed');
  if (fault === '' && before !== '') asking.log.info(said, 'witnessed again');
  return witnessed;
}

interface Asked {
  readonly fault: string;
  readonly witnessed?: boolean;
}

async function ask(one: Known, newest: Newest, asking: Asking): Promise<Asked> {
  const { pool, policy } = asking;
  const { size } = newest;
  for (let asks = 0; asks < ASKS_MAX; asks += 1) {
    if (one.size > size) return ahead(one.size, pool);
    const answer = await answerOf(one, newest, asking);
    if (answer.kind === 'cosigned') {
      const { witness } = one;
      const kept = await keepCosignature(pool, policy, { size, witness, lines: answer.lines });
      if (kept.kind === 'bad') return { fault: 'its signature is not by the key of the policy' };
      one.size = size;
      one.cosignedAt = Date.now();
      return { fault: '', witnessed: kept.witnessed };
    }
    if (answer.kind !== 'other_size') return { fault: answer.why };
    one.size = answer.size;
  }
  return { fault: 'it names another size each time' };
}

/** Another chainer was faster; or this is what a restored backup looks like. */
async function ahead(theirs: number, pool: pg.Pool): Promise<Asked> {
  const ours = (await newestCheckpoint(pool))?.size ?? 0;
  if (ours >= theirs) return { fault: '' };
  return {
    fault: `it has cosigned a tree of ${theirs} leaves and ours has ${ours}: this database is older than what was witnessed`,
  };
}

async function answerOf(
  { witness, size: oldSize }: Known,
  { size, note }: Newest,
  { pool, stopped }: Asking,
): Promise<WitnessAnswer> {
  const proof = await consistencyProof(pool, oldSize, size);
  return askWitness(witness.url, { oldSize, proof, note }, stopped);
}

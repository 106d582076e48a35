/**
 * Answers to calls with a call_id, kept for whoever repeats the call. Those that become ready while others are on their
 * way share one stored message: one disk sync for all of them. A repeat is rare, so looking one up may cost more.
 */
import { randomUUID } from 'node:crypto';

import type { WorkerAnswer } from '#contracts/call.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { Bus } from '#host/nats.ts';
import { readBack } from '#host/read-back.ts';

export type Decided = Extract<WorkerAnswer, { kind: 'decided' }>;

export interface Answers {
  /** Name of this process, under which its answers stand. */
  readonly keeper: string;
  /** @throws when the stream does not acknowledge */
  readonly keep: (answer: Decided) => Promise<void>;
  /** The answer of a decision that a process judged at a time, undefined where none is kept. */
  readonly find: (
    of: { readonly keeper: string; readonly decisionId: string },
    since: number,
  ) => Promise<Decided | undefined>;
}

const TIMEOUT_MS = 5_000;
const IN_FLIGHT_MAX = 2;
/** At most three bytes each in UTF-8: with that still below the 1 MiB of a message. */
const MESSAGE_CHARS_MAX = 256 * 1024;
/** Two streams' times may differ by a little. */
const MARGIN_MS = 1_000;
/** A call takes at most its deadline of 10 s and what recording takes; after that no answer comes. */
const WITHIN_MS = 30_000;
const LOOK_AT_ONCE = 64;

interface Waiting {
  readonly line: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export function createAnswers(bus: Bus): Answers {
  const keeper = randomUUID();
  let queue: Waiting[] = [];
  let inFlight = 0;

  const send = async (group: readonly Waiting[]) => {
    inFlight += 1;
    try {
      const text = group.map(({ line }) => line).join('');
      const options = { timeout: TIMEOUT_MS, retries: 1 };
      await bus.whileConnected(bus.js.publish(SUBJECTS.answers(keeper), text, options));
      for (const { resolve } of group) resolve();
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
    inFlight -= 1;
    flush();
  };
  const flush = () => {
    while (queue.length > 0 && inFlight < IN_FLIGHT_MAX) {
      const size = groupSize(queue);
      void send(queue.slice(0, size));
      queue = queue.slice(size);
    }
  };

  return {
    keeper,
    keep: (answer) =>
      new Promise((resolve, reject) => {
        queue.push({ line: `${JSON.stringify(answer)}\n`, resolve, reject });
        if (queue.length === 1) setImmediate(flush); // answers of one turn share a message
      }),
    find: (of, since) => findIn(bus, of, since),
  };
}

function groupSize(queue: readonly Waiting[]): number {
  let chars = 0;
  const over = queue.findIndex(({ line }) => (chars += line.length) > MESSAGE_CHARS_MAX);
  return over === -1 ? queue.length : Math.max(1, over);
}

async function findIn(
  bus: Bus,
  { keeper, decisionId }: { readonly keeper: string; readonly decisionId: string },
  since: number,
): Promise<Decided | undefined> {
  const subject = SUBJECTS.answers(keeper);
  const from = { subject, since: since - MARGIN_MS, atOnce: LOOK_AT_ONCE };
  for await (const { body, storedAt } of readBack(bus, 'ANSWERS', from)) {
    if (storedAt > since + WITHIN_MS) return undefined;
    const text = Buffer.from(body).toString('utf8');
    if (!text.includes(decisionId)) continue;
    for (const line of text.split('\n').slice(0, -1)) {
      const answer = JSON.parse(line) as Decided; // written by a worker of ours
      if (answer.body.decision_id === decisionId) return answer;
    }
  }
  return undefined;
}

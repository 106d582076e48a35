/**
 * The way of a call to a worker and back. Calls of one event-loop turn and tenant travel in one NATS message;
 * a call alone does not wait for company. Never rejects: whatever goes wrong is a refusal of the closed table,
 * and an allow that arrives after its deadline is none.
 */
import { randomBytes } from 'node:crypto';

import {
  type CallEnvelope,
  type CallLines,
  decodeAnswers,
  encodeCalls,
  type WorkerAnswer,
} from '#contracts/call.ts';
import type { Reason } from '#contracts/reasons.ts';
import { shardOf, SUBJECTS } from '#contracts/subjects.ts';
import type { Bus, Msg } from '#host/nats.ts';

/** One call to be decided: an envelope without what `ask` adds itself, and the arguments. */
export interface Question extends Omit<CallEnvelope, 'v' | 'n' | 'sent_at' | 'remaining_ms'> {
  /** Canonical JSON text: the very bytes that are judged, hashed, recorded and forwarded. */
  readonly args: string;
  /** Milliseconds from now until no answer counts any more; at most DEADLINE_MAX_MS. */
  readonly deadlineMs: number;
}

/** Refusals made here are `{kind: 'refused', code: 'service.*', proven: false}`. Never rejects. */
export type Ask = (question: Question) => Promise<WorkerAnswer>;

export interface AskOptions {
  /** Calls that wait for an answer at most; one tenant may have half of them. */
  readonly inFlightMax?: number;
  /** An answer that nobody waits for any more: late, given twice, or of an unknown call. */
  readonly onStray?: () => void;
}

/** Calls of one message at most, and its size: well below what the broker takes, and one worker's share of a burst. */
const MESSAGE_CALLS_MAX = 64;
const MESSAGE_CHARS_MAX = 512 * 1024;
const IN_FLIGHT_MAX = 10_000;
/** Resolution of deadlines. One coarse timer costs less than a timer for each call. */
const SWEEP_MS = 10;
/** Status of the message by which the broker says that nobody listens (ADR-4). */
const NO_RESPONDERS = 503;

interface Waiting {
  readonly question: Question;
  readonly lane: Lane;
  /** By performance.now(). */
  readonly deadline: number;
  resolve: ((answer: WorkerAnswer) => void) | undefined;
}

/** Calls of one tenant and shard that leave with the next message. */
interface Lane {
  readonly subject: string;
  queued: Waiting[];
  chars: number;
  inFlight: number;
}

/** Calls of one message; call `first + i` is `calls[i]`. */
interface Sent {
  readonly first: number;
  readonly calls: readonly Waiting[];
  open: number;
}

/** Opens the way to the workers. `close` refuses what still waits with service.bus_away. */
export function createAsk(
  bus: Bus,
  options: AskOptions = {},
): { readonly ask: Ask; readonly close: () => Promise<void> } {
  const asking = new Asking(bus, options);
  return { ask: asking.ask, close: () => asking.close() };
}

class Asking {
  readonly #bus: Bus;
  readonly #inFlightMax: number;
  readonly #onStray: () => void;
  /** Own to this process: replicas share the inbox of their user. */
  readonly #inbox: string;
  readonly #subscription: { readonly drain: () => Promise<void> };
  readonly #lanes = new Map<string, Lane>();
  readonly #sent = new Map<number, Sent>();
  #ready: Lane[] = [];
  #inFlight = 0;
  #callNumber = 0;
  #messageNumber = 0;
  #sweeper: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(bus: Bus, options: AskOptions) {
    this.#bus = bus;
    this.#inFlightMax = options.inFlightMax ?? IN_FLIGHT_MAX;
    this.#onStray = options.onStray ?? (() => undefined);
    this.#inbox = `${bus.inbox}.${randomBytes(9).toString('hex')}.`;
    this.#subscription = bus.subscribe(`${this.#inbox}*`, {}, (message) => this.#take(message));
    bus.onChange((connected) => {
      if (!connected) this.#refuseAll();
    });
  }

  readonly ask: Ask = (question) => {
    if (this.#closed || !this.#bus.connected()) return refusal('service.bus_away');
    const lane = this.#lane(question);
    if (this.#inFlight >= this.#inFlightMax || lane.inFlight * 2 >= this.#inFlightMax) {
      return refusal('service.overloaded');
    }
    return new Promise((resolve) => {
      const deadline = performance.now() + question.deadlineMs;
      this.#enqueue({ question, lane, deadline, resolve });
    });
  };

  async close(): Promise<void> {
    this.#closed = true;
    this.#refuseAll();
    clearInterval(this.#sweeper);
    await this.#subscription.drain();
  }

  /** One lane for each tenant and shard: both come from registered issuers, so there are few. */
  #lane({ tenant, session_id = '' }: Question): Lane {
    // The agent is not proven yet; the session alone keeps calls of one session together.
    const subject = SUBJECTS.call(tenant, shardOf(tenant, '', session_id));
    let lane = this.#lanes.get(subject);
    if (lane === undefined) {
      lane = { subject, queued: [], chars: 0, inFlight: 0 };
      this.#lanes.set(subject, lane);
    }
    return lane;
  }

  #enqueue(waiting: Waiting): void {
    const { lane, question } = waiting;
    this.#inFlight++;
    lane.inFlight++;
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS);
    const chars = question.args.length + question.identity.length + question.capability.length;
    if (lane.queued.length > 0 && lane.chars + chars > MESSAGE_CHARS_MAX) this.#send(lane);
    if (lane.queued.length === 0) {
      // After everything that this turn of the event loop read from its sockets, and before the next turn.
      if (this.#ready.length === 0) setImmediate(() => this.#flush());
      this.#ready.push(lane);
    }
    lane.chars += chars;
    if (lane.queued.push(waiting) >= MESSAGE_CALLS_MAX) this.#send(lane);
  }

  #flush(): void {
    const ready = this.#ready;
    this.#ready = [];
    for (const lane of ready) if (lane.queued.length > 0) this.#send(lane);
  }

  #send(lane: Lane): void {
    const calls = lane.queued;
    lane.queued = [];
    lane.chars = 0;
    const first = this.#callNumber;
    this.#callNumber += calls.length;
    const number = this.#messageNumber++;
    this.#sent.set(number, { first, calls, open: calls.length });
    // The client would keep a message for the time after a reconnect, when nobody waits for it any more.
    if (this.#closed || !this.#bus.connected()) return this.#refuse(number, 'service.bus_away');
    try {
      this.#bus.publish(lane.subject, encodeCalls(linesOf(calls, first)), this.#inbox + number);
    } catch {
      this.#refuse(number, 'service.bus_away');
    }
  }

  /** Untrusted in form: any answer that is not whole refuses the calls of its message. */
  #take(message: Msg): void {
    const number = Number(message.subject.slice(this.#inbox.length));
    const sent = this.#sent.get(number);
    if (sent === undefined) return this.#onStray();
    if (message.data.length === 0 && message.headers?.code === NO_RESPONDERS) {
      return this.#refuse(number, 'service.no_worker');
    }
    let answers: WorkerAnswer[];
    try {
      answers = decodeAnswers(message.string());
    } catch {
      return this.#refuse(number, 'service.malformed_answer');
    }
    const now = performance.now();
    for (const answer of answers) {
      const waiting = sent.calls[answer.n - sent.first];
      if (waiting?.resolve === undefined) this.#onStray();
      // The sweep may be late; an allow after the deadline must not pass for that.
      else if (now > waiting.deadline) this.#settle(sent, waiting, refused('service.timeout'));
      else this.#settle(sent, waiting, answer);
    }
    if (sent.open === 0) this.#sent.delete(number);
  }

  #settle(sent: Sent, waiting: Waiting, answer: WorkerAnswer): void {
    const { resolve, lane } = waiting;
    if (resolve === undefined) return;
    waiting.resolve = undefined;
    sent.open--;
    lane.inFlight--;
    this.#inFlight--;
    resolve(answer);
  }

  #refuse(number: number, code: Reason): void {
    const sent = this.#sent.get(number);
    if (sent === undefined) return;
    this.#sent.delete(number);
    for (const waiting of sent.calls) this.#settle(sent, waiting, refused(code));
  }

  #refuseAll(): void {
    this.#flush();
    for (const number of [...this.#sent.keys()]) this.#refuse(number, 'service.bus_away');
  }

  #sweep(): void {
    const now = performance.now();
    for (const [number, sent] of this.#sent) {
      for (const waiting of sent.calls) {
        if (now > waiting.deadline) this.#settle(sent, waiting, refused('service.timeout'));
      }
      if (sent.open === 0) this.#sent.delete(number);
    }
    if (this.#inFlight > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}

const refused = (code: Reason): WorkerAnswer => ({ n: 0, kind: 'refused', code, proven: false });
const refusal = (code: Reason): Promise<WorkerAnswer> => Promise.resolve(refused(code));

function linesOf(calls: readonly Waiting[], first: number): CallLines[] {
  const sentAt = Date.now();
  const now = performance.now();
  return calls.map(({ question, deadline }, index) => {
    const { args, deadlineMs: _, ...rest } = question;
    const remaining = Math.max(0, Math.floor(deadline - now));
    return {
      envelope: { v: 1, n: first + index, sent_at: sentAt, remaining_ms: remaining, ...rest },
      args,
    };
  });
}

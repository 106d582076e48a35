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
import { clockIsOff } from '#host/clock.ts';
import type { Bus, Msg } from '#host/nats.ts';

import { type Backlog, createBacklog } from './backlog.ts';

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
  /** Calls that wait for an answer at most, however fast the workers are; one tenant may have half of those that may. */
  readonly inFlightMax?: number;
  /** An answer that nobody waits for any more: late, given twice, or of an unknown call. */
  readonly onStray?: () => void;
  /** How far this clock is off (host/clock.ts). */
  readonly clockOffMs?: () => number;
}

/** Calls of one message at most, and its size: well below what the broker takes, and one worker's share of a burst. */
const MESSAGE_CALLS_MAX = 16;
const MESSAGE_BYTES_MAX = 512 * 1024;
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
  readonly resolve: (answer: WorkerAnswer) => void;
  /** Given when the call leaves. */
  number: number;
}

/** Calls of one tenant and shard that leave with the next message. */
interface Lane {
  readonly subject: string;
  queued: Waiting[];
  inFlight: number;
}

export interface Asking {
  readonly ask: Ask;
  /** Calls that wait for an answer now. */
  readonly inFlight: () => number;
  readonly close: () => Promise<void>;
}

/** Opens the way to the workers. `close` refuses what still waits with service.bus_away. */
export function createAsk(bus: Bus, options: AskOptions = {}): Asking {
  const calls = new Calls(bus, options);
  return { ask: calls.ask, inFlight: () => calls.inFlight(), close: () => calls.close() };
}

class Calls {
  readonly #bus: Bus;
  readonly #backlog: Backlog;
  readonly #onStray: () => void;
  readonly #clockOffMs: () => number;
  /** Own to this process: replicas share the inbox of their user. */
  readonly #inbox: string;
  readonly #subscription: { readonly drain: () => Promise<void> };
  readonly #lanes = new Map<string, Lane>();
  /** By call number. A worker may answer calls of several messages in one, so answers are matched by this alone. */
  readonly #waiting = new Map<number, Waiting>();
  /** By message number, while any call of the message waits: what a status or a malformed answer refuses. */
  readonly #messages = new Map<number, readonly Waiting[]>();
  #ready: Lane[] = [];
  #inFlight = 0;
  #callNumber = 0;
  #messageNumber = 0;
  #sweeper: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(bus: Bus, options: AskOptions) {
    this.#bus = bus;
    this.#backlog = createBacklog(options.inFlightMax ?? IN_FLIGHT_MAX);
    this.#onStray = options.onStray ?? (() => undefined);
    this.#clockOffMs = options.clockOffMs ?? (() => 0);
    this.#inbox = `${bus.inbox}.${randomBytes(9).toString('hex')}.`;
    this.#subscription = bus.subscribe(`${this.#inbox}*`, {}, (message) => this.#take(message));
    bus.onChange((connected) => {
      if (!connected) this.#refuseAll();
    });
  }

  readonly ask: Ask = (question) => {
    if (this.#closed || !this.#bus.connected()) return refusal('service.bus_away');
    if (clockIsOff(this.#clockOffMs())) return refusal('service.clock');
    const lane = this.#lane(question);
    const now = performance.now();
    const limit = this.#backlog.limit(now);
    if (this.#inFlight >= limit || lane.inFlight * 2 >= limit) {
      return refusal('service.overloaded');
    }
    return new Promise((resolve) => {
      const deadline = now + question.deadlineMs;
      this.#enqueue({ question, lane, deadline, resolve, number: -1 });
    });
  };

  inFlight(): number {
    return this.#inFlight;
  }

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
      lane = { subject, queued: [], inFlight: 0 };
      this.#lanes.set(subject, lane);
    }
    return lane;
  }

  #enqueue(waiting: Waiting): void {
    const { lane } = waiting;
    this.#inFlight++;
    lane.inFlight++;
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS);
    if (lane.queued.length === 0) {
      // After everything that this turn of the event loop read from its sockets, and before the next turn: at 64
      // connections 35 calls a message and 65 microseconds of CPU a call, against 130 when flushed by a microtask;
      // a call alone takes as long either way.
      if (this.#ready.length === 0) setImmediate(() => this.#flush());
      this.#ready.push(lane);
    }
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
    for (const call of calls) {
      call.number = this.#callNumber++;
      this.#waiting.set(call.number, call);
    }
    // The client would keep a message for the time after a reconnect, when nobody waits for it any more.
    if (this.#closed || !this.#bus.connected()) return this.#refuse(calls, 'service.bus_away');
    const sentAt = Date.now();
    const now = performance.now();
    let message = '';
    let bytes = 0;
    let within: Waiting[] = [];
    for (const call of calls) {
      const text = encodeCalls([linesOf(call, sentAt, now)]);
      const size = Buffer.byteLength(text);
      if (within.length > 0 && bytes + size > MESSAGE_BYTES_MAX) {
        this.#publish(lane.subject, message, within);
        message = '';
        bytes = 0;
        within = [];
      }
      message += text;
      bytes += size;
      within.push(call);
    }
    this.#publish(lane.subject, message, within);
  }

  #publish(subject: string, message: string, calls: readonly Waiting[]): void {
    const number = this.#messageNumber++;
    this.#messages.set(number, calls);
    try {
      this.#bus.publish(subject, message, this.#inbox + number);
    } catch {
      this.#refuse(calls, 'service.bus_away');
    }
  }

  /** Untrusted in form: bytes that are not whole answers refuse the calls of the message they answer. */
  #take(message: Msg): void {
    const number = Number(message.subject.slice(this.#inbox.length));
    if (message.data.length === 0 && message.headers?.code === NO_RESPONDERS) {
      return this.#refuse(this.#messages.get(number), 'service.no_worker');
    }
    let answers: WorkerAnswer[];
    try {
      answers = decodeAnswers(message.string());
    } catch {
      return this.#refuse(this.#messages.get(number), 'service.malformed_answer');
    }
    const now = performance.now();
    for (const answer of answers) {
      this.#backlog.answered(); // a late one too: it says what the workers achieve
      const call = this.#waiting.get(answer.n);
      if (call === undefined) this.#onStray();
      // The sweep may be late; an allow after the deadline must not pass for that.
      else this.#settle(call, now > call.deadline ? refused('service.timeout') : answer);
    }
  }

  #settle(call: Waiting, answer: WorkerAnswer): void {
    if (!this.#waiting.delete(call.number)) return;
    this.#inFlight--;
    call.lane.inFlight--;
    call.resolve(answer);
  }

  #refuse(calls: readonly Waiting[] | undefined, code: Reason): void {
    if (calls === undefined) return this.#onStray();
    for (const call of calls) this.#settle(call, refused(code));
  }

  #refuseAll(): void {
    this.#flush();
    for (const call of this.#waiting.values()) this.#settle(call, refused('service.bus_away'));
  }

  #sweep(): void {
    const now = performance.now();
    for (const call of this.#waiting.values()) {
      if (now > call.deadline) this.#settle(call, refused('service.timeout'));
    }
    for (const [number, calls] of this.#messages) {
      if (!calls.some((call) => this.#waiting.has(call.number))) this.#messages.delete(number);
    }
    if (this.#inFlight > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}

const refused = (code: Reason): WorkerAnswer => ({ n: 0, kind: 'refused', code, proven: false });
const refusal = (code: Reason): Promise<WorkerAnswer> => Promise.resolve(refused(code));

function linesOf(call: Waiting, sentAt: number, now: number): CallLines {
  const { args, deadlineMs: _, ...rest } = call.question;
  const remaining = Math.max(0, Math.floor(call.deadline - now));
  return {
    envelope: { v: 1, n: call.number, sent_at: sentAt, remaining_ms: remaining, ...rest },
    args,
  };
}

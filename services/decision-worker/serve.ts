/**
 * Takes calls from the bus and answers them, grouped both ways: a message carries the calls of one turn, and answers
 * that become ready in one turn go back to their ingress as one message.
 */
import {
  type CallLines,
  CLOCK_SKEW_MS,
  decodeCalls,
  MalformedMessage,
  type WorkerAnswer,
} from '#contracts/call.ts';
import type { JsonObject } from '#contracts/json.ts';
import { inboxPrefix, SUBJECTS, WORKER_QUEUE } from '#contracts/subjects.ts';
import { clockIsOff } from '#host/clock.ts';
import type { ControlView } from '#host/control-view.ts';
import type { Logger } from '#host/log.ts';
import type { Bus, Msg } from '#host/nats.ts';

import type { Call } from './decide.ts';
import { refused } from './judge.ts';
import { createOutbox } from './outbox.ts';
import type { Bundles } from './points/bundles.ts';
import type { Catalogue } from './points/catalogue.ts';

/** A control feed that was silent for longer is too old to decide on. */
export const STALE_MS = 5_000;
/** The only place that answers go to. */
const ANSWERS = `${inboxPrefix('ingress')}.`;
/**
 * Calls that are judged before what they left, records and answers, may leave. Calls of a burst that all wait for the
 * last of them keep the broker, the disk and the ingress idle meanwhile.
 */
const TURN_CALLS = 8;
/** Longest wait for a demanded revision. */
const REVISION_WAIT_MS = 1_000;

export interface ServeParts {
  readonly view: ControlView;
  readonly catalogue: Catalogue;
  readonly bundles: Bundles;
  readonly judge: (call: Call) => Promise<WorkerAnswer>;
  readonly visible: (call: Call) => Promise<WorkerAnswer>;
  readonly me: (call: Call) => Promise<WorkerAnswer>;
  readonly log: Logger;
  readonly onDropped: () => void;
}

/** Serves until drained. */
export function serveCalls(bus: Bus, parts: ServeParts): { readonly drain: () => Promise<void> } {
  const outbox = createOutbox((subject, message) => bus.publish(subject, message));
  let open = 0;
  const handle = async (lines: CallLines, reply: string) => {
    open += 1;
    try {
      const answer = await answerTo(lines, parts);
      if (answer !== undefined) outbox.put(reply, answer);
    } catch (error) {
      // A bug, not a refusal: no answer is a refusal at the ingress, and the process goes on for the others.
      parts.log.error({ err: error }, 'a call was not answered');
    } finally {
      open -= 1;
    }
  };
  const waiting: { readonly lines: CallLines; readonly reply: string }[] = [];
  const takeTurn = () => {
    for (const { lines, reply } of waiting.splice(0, TURN_CALLS)) void handle(lines, reply);
    if (waiting.length > 0) setImmediate(takeTurn);
  };
  const subscription = bus.subscribe(SUBJECTS.calls, { queue: WORKER_QUEUE }, (message) => {
    // untrusted: a reply subject can be aimed at any subject that this process may publish, a stream's too.
    const { reply } = message;
    if (reply?.startsWith(ANSWERS) !== true) return;
    const idle = waiting.length === 0;
    for (const lines of callsOf(message, parts.log)) waiting.push({ lines, reply });
    if (idle) takeTurn();
  });
  return {
    drain: async () => {
      await subscription.drain();
      while (open > 0 || waiting.length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
      outbox.flush();
    },
  };
}

function callsOf(message: Msg, log: Logger): CallLines[] {
  try {
    return decodeCalls(message.string());
  } catch (error) {
    if (!(error instanceof MalformedMessage)) throw error;
    log.warn({ err: error, subject: message.subject }, 'malformed calls');
    return [];
  }
}

async function answerTo(lines: CallLines, parts: ServeParts): Promise<WorkerAnswer | undefined> {
  const { envelope, args } = lines;
  const at = Date.now();
  const asked = { envelope, trace: [] };
  // A clock that is behind would take expired tokens for valid ones, one that is ahead would drop what is waited for.
  if (clockIsOff(parts.view.clockOffMs(at))) return refused(asked, 'service.clock');
  // Nobody waits for it any more; the ingress has refused it.
  if (at > envelope.sent_at + envelope.remaining_ms + CLOCK_SKEW_MS) {
    parts.onDropped();
    return undefined;
  }
  // The same, where it was set since the last heartbeat of whoever's clock is wrong.
  if (envelope.sent_at > at + CLOCK_SKEW_MS) return refused(asked, 'service.clock');
  if (parts.view.ageMs() > STALE_MS) return refused(asked, 'service.stale');
  const { min_revision: revision } = envelope;
  if (parts.bundles.unready(envelope.tenant)) await parts.bundles.settled(envelope.tenant);
  if (revision !== undefined) {
    const wait = Math.min(REVISION_WAIT_MS, envelope.remaining_ms);
    if (!(await parts.view.waitFor(revision, wait))) return refused(asked, 'service.behind');
    await parts.bundles.settled(envelope.tenant);
    if (!parts.bundles.current(envelope.tenant, revision)) return refused(asked, 'service.behind');
  }
  const call: Call = {
    ...asked,
    tenant: envelope.tenant,
    args,
    arguments: JSON.parse(args) as JsonObject, // canonical bytes of an object, made by the ingress's strict parser
    at,
    tool: parts.catalogue.find(envelope.tenant, envelope.upstream, envelope.tool),
  };
  switch (envelope.ask) {
    case 'visible':
      return parts.visible(call);
    case 'me':
      return parts.me(call);
    case 'decide':
    case 'evaluate':
      return parts.judge(call);
  }
}

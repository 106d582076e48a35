/** Outcome first, then the answer: an agent never sees a result that has no record, nor one that owes something. */
import type { JsonObject } from '#contracts/json.ts';
import type { Reason } from '#contracts/reasons.ts';

import type { Exchange, Way } from './exchange.ts';
import { isObject } from './message.ts';
import { redacted } from './obligations.ts';
import { becameOf, recordOutcome } from './outcomes.ts';
import { changedResult, type Settlement } from './relay.ts';
import { type Owed, sealCursor } from './resume.ts';

interface SettleOptions {
  readonly way: Pick<Way, 'signal' | 'killedBy'>;
  /** A stream that lives until its client ends it. */
  readonly listens: boolean;
  /** For the agent, with the result, by key of `_meta`. */
  readonly meta: JsonObject;
  /** What the agent gets instead of the result or the error. */
  readonly wrap?: ((answer: JsonObject) => JsonObject) | undefined;
  /** What the agent gets as one document, where it reads no streams. */
  readonly document?: ((text: string) => string) | undefined;
  /** JSON-RPC text in the place of a result. */
  readonly tell: (code: Reason) => string;
}

/** The settlement of an allowed call that was forwarded. */
export function settle(
  exchange: Exchange,
  owed: Owed,
  { way, listens, meta, wrap, document, tell }: SettleOptions,
): Settlement {
  const { unresumed } = exchange;
  const lost = async (error: string): Promise<void> => {
    // A stream that listens ends when its client has heard enough.
    const ended = listens ? 'executed' : 'unknown';
    const status = way.killedBy() === '' ? ended : 'aborted';
    await recordOutcome(exchange, owed, { status, detail: { error } });
  };
  return {
    id: owed.id,
    whole: document !== undefined,
    answered: async (answer) => {
      unresumed.settled(owed.decisionId);
      const recorded = await recordOutcome(exchange, owed, becameOf(answer));
      if (!recorded) return tell('evidence.outcome_unavailable');
      const text = changedResult(answer, (result) =>
        withMeta(unshared(redacted(result, owed.obligations)), meta),
      );
      if (document !== undefined) return document(text);
      return wrap === undefined ? text : wrapped(text, owed, wrap);
    },
    lost: async (why) => {
      const killed = way.killedBy();
      if (killed !== '') {
        await lost(`kill switch: ${killed}`);
        return tell('call.killed');
      }
      await lost(way.signal.aborted ? 'cancelled by the caller' : why);
      return listens ? '' : tell('service.upstream_away');
    },
    paused: () => {
      if (way.killedBy() !== '') return false;
      unresumed.expect(owed.decisionId, () => lost('nobody came back for the answer'));
      return true;
    },
    eventId: eventIdsOf(exchange, owed),
  };
}

function wrapped(text: string, { id }: Owed, wrap: (answer: JsonObject) => JsonObject): string {
  // The upstream's own answer, read before to find out what it answers.
  const result = { resultType: 'complete', ...wrap(JSON.parse(text) as JsonObject) };
  return JSON.stringify({ jsonrpc: '2.0', id, result });
}

function withMeta(result: JsonObject, ours: JsonObject): JsonObject {
  if (Object.keys(ours).length === 0) return result;
  const { _meta: meta } = result;
  return { ...result, _meta: { ...(isObject(meta) ? meta : {}), ...ours } };
}

/** What was judged for one caller is for nobody else, whatever the upstream thinks of it. */
const unshared = (result: JsonObject): JsonObject =>
  result['cacheScope'] === 'public' ? { ...result, cacheScope: 'private' } : result;

/** Ids of events as the agent gets them: sealed where there are sessions, and as they are where nothing resumes. */
export function eventIdsOf(
  { parts, session, era }: Exchange,
  owed: Owed | null,
): (eventId: string) => string {
  if (era === '2026-07-28') return (eventId) => eventId;
  return (eventId) =>
    session === undefined ? '' : sealCursor(parts.seal, session, { eventId, owed });
}

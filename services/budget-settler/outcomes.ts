/**
 * Settles budgets by outcomes. A call that the ingress itself was to forward and that never reached its upstream
 * (`refused_late`) gets back what it drew; every other outcome, and every outcome that a caller reports of itself, leaves
 * it charged: else an agent could make its own calls free.
 */
import { TAKE_KNOWN_MS, TAKE_MS } from '#contracts/budget.ts';
import { type DecisionId, timeOf } from '#contracts/ids.ts';
import type { MacKeys } from '#contracts/mac.ts';
import { checkMac } from '#contracts/mac.ts';
import type { OutcomeLeaf } from '#contracts/outcome.ts';
import { decodeRecords } from '#contracts/record.ts';
import type { Delivered, Handled } from '#host/consume.ts';
import type { Logger } from '#host/log.ts';
import type { Bus } from '#host/nats.ts';

import type { AddOnce } from './counters.ts';
import { readDrawings, Trimmed } from './draws.ts';

export interface OutcomeParts {
  readonly bus: Bus;
  readonly keys: MacKeys;
  readonly add: AddOnce;
  readonly log: Logger;
  /** Milliseconds UTC by the broker, which stamps outcomes. */
  readonly now: () => number;
  readonly onGivenBack: (units: number) => void;
}

const RETRY_MS = 2_000;
/** A decision is stored within this of the time in its id. */
const STORED_WITHIN_MS = 20_000;
const MARGIN_MS = 2_000;

/** Handles a batch of outcomes. */
export function outcomeSettler(
  parts: OutcomeParts,
): (batch: readonly Delivered[]) => Promise<Handled> {
  return async (batch) => {
    const decisions = new Set(batch.flatMap((message) => unsent(parts, message)));
    if (decisions.size === 0) return 'done';
    try {
      await giveBack(parts, decisions);
      return 'done';
    } catch (error) {
      if (error instanceof Trimmed) {
        parts.log.warn({ decisions: decisions.size }, 'outcomes came too late to be settled');
        return 'done';
      }
      parts.log.warn({ err: error }, 'outcomes are not settled yet');
      return { retryInMs: RETRY_MS };
    }
  };
}

/** The decision whose call was not sent. untrusted: the message, until its MAC proves the ingress. */
function unsent({ keys, now }: OutcomeParts, message: Delivered): DecisionId[] {
  const { subject, body, mac, storedAt, deliveries } = message;
  if ('fault' in checkMac(keys, { subject, body, header: mac })) return [];
  // Delivered again after the counters may have forgotten what was given back the first time.
  if (deliveries > 1 && now() - storedAt > TAKE_KNOWN_MS - TAKE_MS) return [];
  const [record] = decodeRecords(Buffer.from(body).toString('utf8'));
  const leaf = JSON.parse(record?.leaf ?? '{}') as Partial<OutcomeLeaf>; // the ingress's, by the MAC
  const { status, reported_by: by, decision_id: id } = leaf;
  return status === 'refused_late' && by === 'ingress' && id !== undefined ? [id] : [];
}

async function giveBack(
  { bus, keys, add, onGivenBack }: OutcomeParts,
  decisions: ReadonlySet<DecisionId>,
): Promise<void> {
  const times = [...decisions].map((id) => timeOf(id));
  const since = Math.min(...times) - MARGIN_MS;
  const until = Math.max(...times) + STORED_WITHIN_MS;
  const waiting = new Set<string>(decisions);
  let all = 0;
  for await (const { id, draws } of readDrawings(bus, keys, { since, until })) {
    if (!waiting.delete(id)) continue;
    for (const [index, { counter, units }] of draws.entries()) {
      if (!(await add(counter, -units, `${id}.${index}`))) all += units;
    }
    if (waiting.size === 0) break;
  }
  onGivenBack(all);
}

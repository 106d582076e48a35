/** Similar calls in one message: which are alike, what a message shows of each, and what is told with it. */
import { createHash } from 'node:crypto';

import type { ApprovalEventValue } from '#contracts/approval.ts';

import type { Told } from './store.ts';
import type { Call, Notice } from './vendor.ts';

/** The same for calls that may stand in one message: of one agent, to one tool, on one route and of one risk. */
export function similarTo({ summary, route = '' }: ApprovalEventValue): string {
  const { agent, agent_class: agentClass, upstream, tool, risk } = summary;
  return createHash('sha256')
    .update(JSON.stringify([agent, agentClass, upstream, tool, route, risk]))
    .digest('hex');
}

export interface InMessage {
  readonly calls: readonly Call[];
  /** The notice is about a call that was asked for here before. */
  readonly again: boolean;
  /** Everything due that is told once this notice is: a message shows its calls as they are, a reminder is one for all. */
  readonly covered: readonly Told[];
}

/** @param told everything of the message, oldest first */
export function inMessage(notice: Notice, told: readonly Told[]): InMessage {
  const isReminder = (one: Pick<Told, 'approval' | 'step' | 'kind'>): boolean =>
    one.kind === 'ask' &&
    told.some(
      ({ approval, step, kind, state }) =>
        approval === one.approval && kind === 'ask' && state === 'sent' && step < one.step,
    );
  const again = isReminder(notice);
  return {
    again,
    calls: callsOf(told),
    covered: told.filter((one) => one.state === 'due' && isReminder(one) === again),
  };
}

/** Each call with its newest event, but for those that could not be asked for here. */
function callsOf(told: readonly Told[]): Call[] {
  const asked = new Set(
    told
      .filter(({ kind, state }) => kind === 'ask' && state !== 'dead')
      .map(({ approval }) => approval),
  );
  const newest = new Map<string, Told>();
  for (const one of told.filter(({ approval }) => asked.has(approval))) {
    const before = newest.get(one.approval);
    if (before === undefined || before.step < one.step) newest.set(one.approval, one);
  }
  return [...newest.values()];
}

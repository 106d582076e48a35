/** Query parameters of the audit routes. Untrusted; every fault is a refusal that says what is expected. */
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { DecisionIdSchema } from '#contracts/ids.ts';

import type { Page, Wanted } from './audit-reads.ts';
import { AdminError } from './errors.ts';

const FROM_THE_END = Number.MAX_SAFE_INTEGER;

type Query = Readonly<Record<string, string>>;

const decisionIdShape = Compile(DecisionIdSchema);
const momentShape = Compile(Type.String({ format: 'date-time' }));

export function readWanted({ kind, verdict, agent, decision_id, since, until }: Query): Wanted {
  if (decision_id !== undefined && !decisionIdShape.Check(decision_id)) {
    throw new AdminError('request.schema', 'Not a decision id.');
  }
  return {
    ...(kind === undefined ? {} : { kind }),
    ...(verdict === undefined ? {} : { verdict }),
    ...(agent === undefined ? {} : { agent }),
    ...(decision_id === undefined ? {} : { decisionId: decision_id }),
    ...(since === undefined ? {} : { since: readMoment(since) }),
    ...(until === undefined ? {} : { until: readMoment(until) }),
  };
}

export function readPlace({ after, before }: Query): Pick<Page, 'order' | 'sequence'> {
  if (after !== undefined && before !== undefined) {
    throw new AdminError('request.schema', 'Either "after" or "before".');
  }
  return after === undefined
    ? {
        order: 'before',
        sequence: readNumber(before, { otherwise: FROM_THE_END, max: FROM_THE_END }),
      }
    : { order: 'after', sequence: readNumber(after, { otherwise: 0, max: FROM_THE_END }) };
}

function readMoment(text: string): number {
  const at = momentShape.Check(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) {
    throw new AdminError('request.schema', 'A time is RFC 3339, such as 2026-11-21T08:00:00Z.');
  }
  return at;
}

export function readNumber(
  text: string | undefined,
  { otherwise, max }: { readonly otherwise: number; readonly max: number },
): number {
  if (text === undefined) return otherwise;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(value) || value > max) {
    throw new AdminError('request.schema', `A number from 0 to ${max} is expected.`);
  }
  return value;
}

export function readFlag(text = 'false'): boolean {
  if (text !== 'true' && text !== 'false') {
    throw new AdminError('request.schema', 'Either "true" or "false".');
  }
  return text === 'true';
}

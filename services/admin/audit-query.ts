/** Query parameters of the audit routes. Untrusted; every fault is a refusal that says what is expected. */
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { DecisionIdSchema } from '#contracts/ids.ts';

import type { Wanted } from './audit-search.ts';
import { AdminError } from './errors.ts';

const FROM_THE_END = Number.MAX_SAFE_INTEGER;
const FILTER_CHARS_MAX = 256;

type Query = Readonly<Record<string, string>>;

const decisionIdShape = Compile(DecisionIdSchema);
const momentShape = Compile(Type.String({ format: 'date-time' }));

/** Parameters that a column must equal. */
const EQUALS = [
  'agent',
  'approval',
  'kind',
  'mode',
  'person',
  'reason',
  'tool',
  'upstream',
  'verdict',
] as const;

export function readWanted(query: Query): Wanted {
  const { decision_id: decisionId, since, until, before } = query;
  if (decisionId !== undefined && !decisionIdShape.Check(decisionId)) {
    throw new AdminError('request.schema', 'Not a decision id.');
  }
  const equals = EQUALS.flatMap((name) => {
    const value = query[name];
    if (value === undefined) return [];
    if (value === '' || value.length > FILTER_CHARS_MAX || /[\0]/.test(value))
      throw new AdminError('request.schema', `"${name}" is empty or too long.`);
    return [[name, value] as const];
  });
  return {
    ...Object.fromEntries(equals),
    ...(decisionId === undefined ? {} : { decisionId }),
    ...(since === undefined ? {} : { since: readMoment(since) }),
    ...(until === undefined ? {} : { until: readMoment(until) }),
    ...(before === undefined
      ? {}
      : { before: readNumber(before, { otherwise: 0, max: FROM_THE_END }) }),
  };
}

/** Where a page begins. `at` counts only on the way from the newest to the oldest. */
export interface Place {
  readonly order: 'oldest' | 'newest';
  readonly at: number;
  readonly sequence: number;
}

export function readPlace({ after, before, cursor }: Query): Place {
  if ([after, before, cursor].filter((given) => given !== undefined).length > 1) {
    throw new AdminError('request.schema', 'Only one of "after", "before" and "cursor".');
  }
  if (cursor !== undefined) return readCursor(cursor);
  if (after === undefined) return { order: 'newest', at: FROM_THE_END, sequence: FROM_THE_END };
  const sequence = readNumber(after, { otherwise: 0, max: FROM_THE_END });
  return { order: 'oldest', at: 0, sequence };
}

/** Opaque outside: nobody should count on what a place is made of. */
export function cursorOf({ order, at, sequence }: Place): string {
  return Buffer.from(`${order === 'oldest' ? 'o' : 'n'}.${at}.${sequence}`).toString('base64url');
}

function readCursor(cursor: string): Place {
  const text = Buffer.from(cursor.slice(0, 128), 'base64url').toString('latin1');
  const [, order, at = '', sequence = ''] = /^([on])\.(\d{1,16})\.(\d{1,16})$/.exec(text) ?? [];
  const place = { at: Number(at), sequence: Number(sequence) };
  if (order === undefined || !Object.values(place).every(Number.isSafeInteger))
    throw new AdminError('request.schema', 'Not a cursor of an answer.');
  return { order: order === 'o' ? 'oldest' : 'newest', ...place };
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
  {
    otherwise,
    min = 0,
    max,
  }: { readonly otherwise: number; readonly min?: number; readonly max: number },
): number {
  if (text === undefined) return otherwise;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw new AdminError('request.schema', `A number from ${min} to ${max} is expected.`);
  }
  return value;
}

export function readFlag(text = 'false'): boolean {
  if (text !== 'true' && text !== 'false') {
    throw new AdminError('request.schema', 'Either "true" or "false".');
  }
  return text === 'true';
}

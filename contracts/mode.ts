/**
 * Rollout: how strictly the calls of an agent class are enforced, and what has to be true before that changes. A mode
 * lifts only reasons that the table of reasons calls liftable.
 */
import { hash } from 'node:crypto';

import { Type, type Static } from 'typebox';

import type { Verdict } from './call.ts';
import { type Reason, reasonSpec } from './reasons.ts';
import { StopReason } from './stop.ts';

const closed = { additionalProperties: false } as const;

/** From the loosest to the strictest. A class without a mode of its own is enforced. */
export const MODES = ['observe', 'soft-block', 'enforce'] as const;
export const Mode = Type.Union([
  Type.Literal('observe'),
  Type.Literal('soft-block'),
  Type.Literal('enforce'),
]);
export type Mode = Static<typeof Mode>;

/** An agent class, as registrations of agents name it. No control characters. */
export const AgentClass = Type.String({ pattern: '^[^\\u0000-\\u001f\\u007f]{1,64}$' });

/** What must hold of the mode that a class is in before it may enter a stricter one. */
export const Criteria = Type.Object(
  {
    min_days: Type.Number({ minimum: 0, maximum: 365, description: 'Days in the present mode.' }),
    min_decisions: Type.Integer({ minimum: 0, description: 'Decisions in the present mode.' }),
    max_would_block_percent: Type.Number({
      minimum: 0,
      maximum: 100,
      description: 'Share of these decisions that the present mode lifted, or would lift.',
    }),
    max_unreviewed_exceptions: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export type Criteria = Static<typeof Criteria>;

/** What must hold of a mode before a class may leave it for a looser one: it stops too much. */
export const LeaveCriteria = Type.Object(
  {
    min_decisions: Type.Integer({ minimum: 1, description: 'Decisions in the present mode.' }),
    min_would_block_percent: Type.Number({
      exclusiveMinimum: 0,
      maximum: 100,
      description: 'Share of these decisions that were refused or held by what may be lifted.',
    }),
  },
  closed,
);
export type LeaveCriteria = Static<typeof LeaveCriteria>;

/** By the mode that is entered; without `leave` a looser mode always takes an override. */
export const ModeCriteria = Type.Object(
  { 'soft-block': Criteria, enforce: Criteria, leave: Type.Optional(LeaveCriteria) },
  closed,
);
export type ModeCriteria = Static<typeof ModeCriteria>;

/** One criterion beside what the record says now; `present` null = the database was away. */
export const Criterion = Type.Object(
  {
    criterion: Type.String({ description: 'Its name among the criteria.' }),
    required: Type.Number(),
    present: Type.Union([Type.Number(), Type.Null()]),
    met: Type.Boolean(),
  },
  closed,
);
export type Criterion = Static<typeof Criterion>;

export const CRITERIA_DEFAULT: ModeCriteria = {
  'soft-block': {
    min_days: 7,
    min_decisions: 100,
    max_would_block_percent: 5,
    max_unreviewed_exceptions: 0,
  },
  enforce: {
    min_days: 7,
    min_decisions: 100,
    max_would_block_percent: 1,
    max_unreviewed_exceptions: 0,
  },
};

/** The share that is enforced before the others. */
export const Canary = Type.Object(
  {
    percent: Type.Integer({ minimum: 1, maximum: 99 }),
    by: Type.Union([Type.Literal('agent'), Type.Literal('session')], {
      description: 'Whole agents, or sessions; a call without a session counts by its agent.',
    }),
  },
  closed,
);
export type Canary = Static<typeof Canary>;

export const ModeRequest = Type.Object(
  {
    mode: Mode,
    reason: StopReason,
    canary: Type.Optional(Canary),
    criteria: Type.Optional(
      Type.Unsafe<ModeCriteria>({
        ...ModeCriteria,
        description: 'For later changes; this one is held to those that stand. Default: kept.',
      }),
    ),
    override: Type.Optional(
      Type.Boolean({ description: 'Change it though the criteria are not met. It is recorded.' }),
    ),
  },
  closed,
);
export type ModeRequest = Static<typeof ModeRequest>;

/** What the chain says of a class in its present mode; null where the database was away. */
export const ModeMeasured = Type.Object(
  {
    days: Type.Number(),
    decisions: Type.Union([Type.Integer(), Type.Null()]),
    would_block: Type.Union([Type.Integer(), Type.Null()]),
    unreviewed_exceptions: Type.Integer(),
  },
  closed,
);
export type ModeMeasured = Static<typeof ModeMeasured>;

const decided = {
  class: AgentClass,
  mode: Mode,
  canary: Type.Union([Canary, Type.Null()]),
  by: Type.String(),
  reason: Type.String(),
  /** True = the criteria were not met, or the mode became looser. */
  override: Type.Boolean(),
};

/** What the event says. `criteria` null = as they were; `measured`: what was known when it was decided. */
export const ModeOrder = Type.Object(
  { ...decided, criteria: Type.Union([ModeCriteria, Type.Null()]), measured: ModeMeasured },
  closed,
);
export type ModeOrder = Static<typeof ModeOrder>;

/** What stands in the state. `since`: milliseconds UTC at which this mode began. */
export const ClassMode = Type.Object(
  { ...decided, criteria: ModeCriteria, since: Type.Integer() },
  closed,
);
export type ClassMode = Static<typeof ClassMode>;

/** A check that did not pass. */
export interface Refused {
  readonly verdict: Verdict;
  readonly reason: Reason;
}

/** Somebody said no to this very call; soft-block enforces these and warns of the rest. */
const CLEAR: ReadonlySet<Reason> = new Set<Reason>(['policy.blocked', 'intent.tool_forbidden']);

/**
 * Whether a mode lifts a refusal. observe lifts all that is liftable. soft-block enforces an explicit no, and lifts
 * what is missing, what waits for a person, and ceilings. enforce lifts nothing.
 */
export function modeLifts(reason: Reason, mode: Mode): boolean {
  if (mode === 'enforce' || !reasonSpec(reason).liftable) return false;
  return mode === 'observe' || !CLEAR.has(reason);
}

const SHARE_OF = 10_000;

/**
 * The mode of one call: that of its class, but enforced when it belongs to the canary share. Which ones do follows
 * from SHA-256 of tenant, class and agent or session alone, so every worker and every later call agree, and a share
 * that grows keeps whom it has.
 */
export function modeOfCall(
  { mode, canary, class: agentClass }: Pick<ClassMode, 'mode' | 'canary' | 'class'>,
  call: { readonly tenant: string; readonly agent: string; readonly session: string },
): Mode {
  if (mode === 'enforce' || canary === null) return mode;
  const one =
    canary.by === 'session' && call.session !== '' ? `s\n${call.session}` : `a\n${call.agent}`;
  const digest = hash('sha256', `${call.tenant}\n${agentClass}\n${one}`, 'buffer');
  return digest.readUInt32BE(0) % SHARE_OF < canary.percent * (SHARE_OF / 100) ? 'enforce' : mode;
}

/**
 * What a decision comes to after its mode: the first refusal that is not lifted, else an allow that says the first
 * one that was. `before` is what would have happened.
 */
export function afterLifting(
  refusals: readonly Refused[],
  lifts: (refusal: Refused) => boolean,
): Refused & { readonly before: Verdict } {
  const first = refusals[0];
  if (first === undefined) return { verdict: 'allow', reason: 'policy.allowed', before: 'allow' };
  const standing = refusals.find((refusal) => !lifts(refusal));
  return standing === undefined
    ? { verdict: 'allow', reason: first.reason, before: first.verdict }
    : { ...standing, before: first.verdict };
}

/** Each criterion of an entry, or of leaving for a looser mode, by what is measured now. */
export function judged(criteria: Criteria | LeaveCriteria, measured: ModeMeasured): Criterion[] {
  const { decisions, would_block: wouldBlock } = measured;
  const percent =
    decisions === null || wouldBlock === null
      ? null
      : decisions === 0
        ? 0
        : (100 * wouldBlock) / decisions;
  const present: Readonly<Record<string, number | null>> = {
    min_days: measured.days,
    min_decisions: decisions,
    max_would_block_percent: percent,
    min_would_block_percent: percent,
    max_unreviewed_exceptions: measured.unreviewed_exceptions,
  };
  const asked: Readonly<Record<string, number>> = criteria;
  // In one order, whatever order they were stored in.
  return Object.entries(present).flatMap(([criterion, value]) => {
    const required = asked[criterion];
    if (required === undefined) return [];
    const met =
      value !== null && (criterion.startsWith('min_') ? value >= required : value <= required);
    return [{ criterion, required, present: value, met }];
  });
}

const WORDS: Readonly<Record<string, (present: number, required: number) => string>> = {
  min_days: (days, min) => `${days.toFixed(1)} of ${min} days in its mode`,
  min_decisions: (decisions, min) => `${decisions} of ${min} decisions`,
  max_would_block_percent: (percent, max) =>
    `${percent.toFixed(2)} % would be blocked, at most ${max} %`,
  min_would_block_percent: (percent, min) =>
    `${percent.toFixed(2)} % are blocked or held, at least ${min} %`,
  max_unreviewed_exceptions: (unreviewed, max) =>
    `${unreviewed} exceptions nobody reviewed, at most ${max}`,
};

/** What is not met, in words; empty = all is. */
export function unmet(criteria: readonly Criterion[]): string[] {
  const missing = criteria.filter(({ met }) => !met);
  const told = missing.map(({ criterion, present, required }) =>
    present === null
      ? 'the chain cannot be asked'
      : (WORDS[criterion]?.(present, required) ?? criterion),
  );
  return [...new Set(told)];
}

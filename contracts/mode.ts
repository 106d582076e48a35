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

/** By the mode that is entered. */
export const EntryCriteria = Type.Object({ 'soft-block': Criteria, enforce: Criteria }, closed);
export type EntryCriteria = Static<typeof EntryCriteria>;

export const CRITERIA_DEFAULT: EntryCriteria = {
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
      Type.Unsafe<EntryCriteria>({
        ...EntryCriteria,
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
  { ...decided, criteria: Type.Union([EntryCriteria, Type.Null()]), measured: ModeMeasured },
  closed,
);
export type ModeOrder = Static<typeof ModeOrder>;

/** What stands in the state. `since`: milliseconds UTC at which this mode began. */
export const ClassMode = Type.Object(
  { ...decided, criteria: EntryCriteria, since: Type.Integer() },
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

/** Where a class is not as its entry into a mode demands; empty = it may enter. */
export function unmet(
  criteria: Criteria,
  { days, decisions, would_block: wouldBlock, unreviewed_exceptions: unreviewed }: ModeMeasured,
): string[] {
  const faults: string[] = [];
  const { min_days, min_decisions, max_would_block_percent, max_unreviewed_exceptions } = criteria;
  if (days < min_days) faults.push(`${days.toFixed(1)} of ${min_days} days in its mode`);
  if (decisions === null || wouldBlock === null) faults.push('the chain cannot be asked');
  else {
    const percent = decisions === 0 ? 0 : (100 * wouldBlock) / decisions;
    if (decisions < min_decisions) faults.push(`${decisions} of ${min_decisions} decisions`);
    if (percent > max_would_block_percent) {
      faults.push(`${percent.toFixed(2)} % would be blocked, at most ${max_would_block_percent} %`);
    }
  }
  if (unreviewed > max_unreviewed_exceptions) {
    faults.push(`${unreviewed} exceptions nobody reviewed, at most ${max_unreviewed_exceptions}`);
  }
  return faults;
}

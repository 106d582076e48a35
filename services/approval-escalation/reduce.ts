/**
 * The life of a held call, as one pure reducer: a state, a step, and what it becomes with the one event that says so.
 * Who may take a step is may-decide.ts; that two steps never meet is the store's conditional update.
 */
import { isDeepStrictEqual } from 'node:util';

import type { GrantTerms } from '#contracts/approval-grant.ts';
import type {
  ApprovalState,
  ApprovalSummary,
  EditOf,
  Plan,
  Surface,
  Vote,
} from '#contracts/approval.ts';
import type { ApprovalId, DecisionId } from '#contracts/ids.ts';
import type { ApprovalEvent } from '#contracts/subjects.ts';

/** A held call as far as its life concerns. Times are milliseconds UTC. */
export interface Approval {
  readonly state: ApprovalState;
  /** Number of its last event. */
  readonly step: number;
  readonly expiresAt: number;
  readonly uses: number;
  readonly used: number;
  readonly progress: Progress;
}

export interface Progress {
  readonly summary: ApprovalSummary;
  readonly plan: Plan;
  readonly votes: readonly Vote[];
  /** Index of the stage that is being decided. */
  readonly stage: number;
  /** When each tier was told, in their order; the last one also by reminders. */
  readonly told: readonly number[];
  readonly remindedAt: number;
  readonly acknowledgedBy: string;
  readonly endedBy: string;
  readonly reason: string;
  /** Calls that a person changed into this one before it was held. */
  readonly editOf?: readonly EditOf[];
  /** Canonical JSON of what a person put in the place of the arguments. */
  readonly edit?: string;
  /** What the first yes proposed and every later one agreed to; of a grant, its terms. */
  readonly grant?: GrantTerms;
  /** Only of a grant: the held call that it was given with. */
  readonly grantOf?: ApprovalId;
}

/** Who takes a step, and where it came in. */
export interface Actor {
  readonly by: string;
  readonly via: Surface;
}

interface LookStep {
  readonly is: 'look';
}
interface UseStep {
  readonly is: 'use';
  readonly k: number;
  readonly decisionId: DecisionId;
}

interface EditStep extends Actor {
  readonly is: 'edit';
  /** Canonical JSON of the arguments in place of the held ones. */
  readonly arguments: string;
  /** Keyed name of the call that it becomes. */
  readonly call: string;
  readonly reason: string;
}

interface ApproveStep extends Actor {
  readonly is: 'approve';
  readonly grant?: GrantTerms | undefined;
}

/** look: time has passed. supersede: its policy is not active any more. strand: nobody may approve it, or nobody who may could be reached. */
export type Step =
  | ApproveStep
  | ({ readonly is: 'acknowledge' } & Actor)
  | EditStep
  | ({ readonly is: 'deny' | 'cancel'; readonly reason: string } & Actor)
  | { readonly is: 'supersede' }
  | { readonly is: 'strand'; readonly unreached?: true }
  | LookStep
  | UseStep;

export interface Happened {
  readonly event: ApprovalEvent;
  readonly actor: Actor;
  /** Index of the tier that is told. */
  readonly tier?: number;
  readonly use?: { readonly decision_id: DecisionId; readonly k: number };
}

/**
 * nothing: the step had been taken before, or there is nothing to do. ended, voted: it cannot be taken any more.
 * differs: those who said yes before did not say it to this grant.
 */
export type Reduced =
  | { readonly is: 'changed'; readonly next: Approval; readonly happened: Happened }
  | { readonly is: 'nothing' | 'ended' | 'voted' | 'differs' };

export const SYSTEM: Actor = { by: 'system:approval-escalation', via: 'system' };

/** A call at the moment it is held. */
export function heldCall(
  summary: ApprovalSummary,
  plan: Plan,
  editOf: readonly EditOf[] = [],
): Approval {
  return {
    state: 'pending',
    step: 1,
    expiresAt: summary.expires_at,
    uses: 1,
    used: 0,
    progress: {
      summary,
      plan,
      votes: [],
      stage: 0,
      told: [],
      remindedAt: 0,
      acknowledgedBy: '',
      endedBy: '',
      reason: '',
      ...(editOf.length === 0 ? {} : { editOf }),
    },
  };
}

/** What a step makes of a held call at a time. */
export function reduce(before: Approval, step: Step, at: number): Reduced {
  if (step.is === 'use') {
    // A fact of another log: it happened, whatever became of the approval meanwhile.
    const use = { decision_id: step.decisionId, k: step.k };
    return changed(before, { used: before.used + 1 }, { event: 'used', actor: AGENT, use });
  }
  if (step.is === 'look') return look(before, at);
  const open = before.state === 'pending' || before.state === 'approved';
  if (!open || at >= before.expiresAt) return repeated(before, step);
  return taken(before, step, at);
}

/** A step of a call that is open. */
function taken(before: Approval, step: Exclude<Step, UseStep | LookStep>, at: number): Reduced {
  switch (step.is) {
    case 'approve':
      return approve(before, step, at);
    case 'acknowledge':
      return acknowledge(before, step);
    case 'cancel':
      return unlessReleased(before, () => end(before, 'cancelled', step, step.reason));
    case 'supersede':
      return unlessReleased(before, () =>
        end(before, 'superseded', SYSTEM, 'another policy became active'),
      );
    case 'deny':
      return whilePending(before, () => end(before, 'denied', step, step.reason));
    case 'edit':
      return whilePending(before, () => {
        const progress = { ...before.progress, edit: step.arguments };
        return end({ ...before, progress }, 'edited', step, step.reason);
      });
    case 'strand':
      return whilePending(before, () => strand(before, step.unreached === true));
  }
}

/** Whoever is unreached may still be asked by a later tier, and somebody who was heard of is not unreached. */
function strand(before: Approval, unreached: boolean): Reduced {
  if (!unreached) return end(before, 'no_channel', SYSTEM, 'nobody is there who may approve it');
  const { plan, told, acknowledgedBy, votes } = before.progress;
  const heard = acknowledgedBy !== '' || votes.length > 0;
  if (heard || told.length < plan.tiers.length) return { is: 'nothing' };
  return end(before, 'no_channel', SYSTEM, 'no channel could be reached');
}

/** What was approved is not declined any more. */
const whilePending = ({ state }: Approval, then: () => Reduced): Reduced =>
  state === 'pending' ? then() : { is: 'ended' };

/** What was released waits for nothing any more: only its time ends it, and then the call can be asked for anew. */
const unlessReleased = ({ used, uses }: Approval, then: () => Reduced): Reduced =>
  used < uses ? then() : { is: 'ended' };

const AGENT: Actor = { by: 'agent', via: 'agent' };

/** A step that comes again after it was taken: whoever sends a click twice meant it once. */
function repeated({ state, progress }: Approval, step: Step): Reduced {
  const same =
    (step.is === 'deny' && state === 'denied' && progress.endedBy === step.by) ||
    (step.is === 'edit' && state === 'edited' && progress.edit === step.arguments) ||
    (step.is === 'cancel' && state === 'cancelled' && progress.endedBy === step.by) ||
    (step.is === 'supersede' && state === 'superseded');
  return { is: same ? 'nothing' : 'ended' };
}

function approve(before: Approval, { by, via, grant }: ApproveStep, at: number): Reduced {
  const { stage, votes } = before.progress;
  const earlier = votes.find((vote) => vote.by === by);
  if (earlier !== undefined) {
    return { is: before.state === 'approved' || earlier.stage === stage ? 'nothing' : 'voted' };
  }
  if (before.state === 'approved') return { is: 'ended' };
  const agreed = votes.length === 0 ? grant : before.progress.grant;
  if (grant !== undefined && !isDeepStrictEqual(grant, agreed)) return { is: 'differs' };
  const progress = agreed === undefined ? before.progress : { ...before.progress, grant: agreed };
  return counted({ ...before, progress }, { by, stage, at, via });
}

/** What one more yes makes of it. */
function counted(before: Approval, vote: Vote): Reduced {
  const { plan, stage } = before.progress;
  const { by, via } = vote;
  const votes = [...before.progress.votes, vote];
  const count = votes.filter((one) => one.stage === stage).length;
  const full = count >= (plan.stages[stage]?.quorum ?? 1);
  const last = stage + 1 >= plan.stages.length;
  const progress = { ...before.progress, votes, stage: full && !last ? stage + 1 : stage };
  const actor = { by, via };
  if (!full || !last) return changed(before, { progress }, { event: 'voted', actor });
  return changed(
    before,
    { state: 'approved', progress: { ...progress, endedBy: by } },
    { event: 'approved', actor },
  );
}

function acknowledge(before: Approval, { by, via }: Actor): Reduced {
  if (before.state !== 'pending') return { is: 'ended' };
  if (before.progress.acknowledgedBy !== '') return { is: 'nothing' };
  const progress = { ...before.progress, acknowledgedBy: by };
  return changed(before, { progress }, { event: 'acknowledged', actor: { by, via } });
}

function end(
  before: Approval,
  state: Exclude<ApprovalState, 'pending' | 'approved'>,
  { by, via }: Actor,
  reason: string,
): Reduced {
  const progress = { ...before.progress, endedBy: by, reason };
  return changed(before, { state, progress }, { event: state, actor: { by, via } });
}

/** One thing at a time: its end, the next tier, a reminder. */
function look(before: Approval, at: number): Reduced {
  const open = before.state === 'pending' || before.state === 'approved';
  if (!open) return { is: 'nothing' };
  if (at >= before.expiresAt) {
    return end(before, 'expired', SYSTEM, whyOver(before));
  }
  const due = dueTier(before, at);
  if (due === undefined || at < due.at) return { is: 'nothing' };
  const { progress } = before;
  const told = due.event === 'reached' ? [...progress.told, at] : progress.told;
  return changed(
    before,
    { progress: { ...progress, told, remindedAt: at } },
    { event: due.event, actor: SYSTEM, tier: due.index },
  );
}

function whyOver({ state, used, uses }: Approval): string {
  if (state === 'pending') return 'nobody answered in time';
  return used < uses ? 'not used in time' : 'the time is over in which it could not be asked again';
}

interface DueTier {
  readonly index: number;
  readonly at: number;
  readonly event: 'reached' | 'reminded';
}

/** Whom to tell next and when; undefined once somebody looks at it or nobody is left. A tier that is due goes first. */
function dueTier({ state, progress }: Approval, now = 0): DueTier | undefined {
  const { plan, told, summary, acknowledgedBy, remindedAt } = progress;
  if (state !== 'pending' || acknowledgedBy !== '') return undefined;
  const next = plan.tiers[told.length];
  const reached =
    next === undefined
      ? undefined
      : ({
          index: told.length,
          at: summary.held_at + next.after_s * 1_000,
          event: 'reached',
        } as const);
  const current = plan.tiers[told.length - 1];
  if (current === undefined || current.remind_s === 0) return reached;
  const remind = remindedAt + current.remind_s * 1_000;
  if (reached !== undefined && reached.at <= Math.max(remind, now)) return reached;
  return { index: told.length - 1, at: remind, event: 'reminded' };
}

/** When a held call changes by itself, undefined for never. */
export function wakeAt(approval: Approval): number | undefined {
  if (approval.state !== 'pending' && approval.state !== 'approved') return undefined;
  return Math.min(approval.expiresAt, dueTier(approval)?.at ?? approval.expiresAt);
}

function changed(before: Approval, change: Partial<Approval>, happened: Happened): Reduced {
  return { is: 'changed', next: { ...before, ...change, step: before.step + 1 }, happened };
}

/** Yes-votes of the stage that is being decided, and how many it takes. */
export function progressOf({ progress }: Pick<Approval, 'progress'>): {
  readonly stage: string;
  readonly votes: number;
  readonly needed: number;
} {
  const { plan, stage, votes } = progress;
  return {
    stage: plan.stages[stage]?.name ?? '',
    votes: votes.filter((vote) => vote.stage === stage).length,
    needed: plan.stages[stage]?.quorum ?? 1,
  };
}

/** Takes a step of a held call: read, reduce, store on the condition that nobody was faster, tell. */
import type pg from 'pg';

import type { Logger } from '#host/log.ts';

import { eventOf } from './event.ts';
import { grantGiven } from './grant.ts';
import { type Approval, type Happened, reduce, type Reduced, type Step, SYSTEM } from './reduce.ts';
import { grantsOf, type NewGrant, takeEdit, takeGranting } from './store-edits.ts';
import { findByHandle, type HeldStore, type Place, type Row, takeStep, takeUse } from './store.ts';
import type { Tell } from './tell.ts';

export interface StepParts extends HeldStore<pg.Pool> {
  readonly tell: Tell;
  readonly log: Logger;
  readonly now: () => number;
  /** For crash tests: runs between commit and telling. */
  readonly afterCommit?: (() => Promise<void>) | undefined;
}

/** The held call after the step, and how that ended; undefined when there is no such call. */
export interface Took {
  readonly row: Row;
  readonly became: Reduced['is'];
}

/** Why this step may not be taken on the row as it is; undefined when it may. Asked anew at each try. */
export type Permit<Refusal> = (row: Row) => Promise<Refusal | undefined>;

const TRIES_MAX = 32;

/** Takes a step once, whoever else does. What `permit` refuses is given back as it is. */
export async function take<Refusal>(
  parts: StepParts,
  place: Place,
  step: Step,
  permit: Permit<Refusal> = () => Promise.resolve(undefined),
): Promise<Took | { readonly refusal: Refusal } | undefined> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const row = await findByHandle(parts, place);
    if (row === undefined) return undefined;
    const refusal = await permit(row);
    if (refusal !== undefined) return { refusal };
    const at = parts.now();
    const reduced = reduce(row, step, at);
    if (reduced.is !== 'changed') return { row, became: reduced.is };
    const stored = await store(parts, row, step, { ...reduced, at });
    if (stored === 'known') return { row, became: 'nothing' };
    if (stored === 'overtaken') continue;
    const after = { ...row, ...reduced.next };
    await parts.afterCommit?.();
    await tellOrLater(parts, after);
    if (typeof stored === 'object') await tellGrant(parts, stored.held);
    return { row: after, became: 'changed' };
  }
  throw new Error('a held call changes faster than it can be read');
}

async function store(
  parts: StepParts,
  row: Row,
  step: Step,
  { next, happened, at }: { next: Approval; happened: Happened; at: number },
): Promise<'taken' | 'known' | 'overtaken' | NewGrant> {
  const place = { tenant: row.tenant, id: row.id, decisionId: row.facts.decisionId };
  const event = eventOf(next, place, happened, at);
  if (step.is === 'use') {
    return takeUse(parts, row, { k: step.k, decisionId: step.decisionId, at }, { next, event });
  }
  if (step.is === 'edit') {
    const edit = { call: step.call, by: step.by, at };
    return (await takeEdit(parts, row, edit, { next, event })) ? 'taken' : 'overtaken';
  }
  const grant = grantGiven(row, next, happened.actor, at);
  if (step.is === 'approve' && grant !== undefined) {
    return (await takeGranting(parts, row, { next, event }, grant)) ? grant : 'overtaken';
  }
  return (await takeStep(parts, row, next, event)) ? 'taken' : 'overtaken';
}

const REPLACED = { is: 'cancel', ...SYSTEM, reason: 'another grant took its place' } as const;

/** A new grant is told, and takes the place of earlier ones for the same work. */
async function tellGrant(
  parts: StepParts,
  { tenant, id, binding }: NewGrant['held'],
): Promise<void> {
  await tellOrLater(parts, { tenant, id });
  const [, ...earlier] = await grantsOf(parts.pool, tenant, binding);
  for (const place of earlier) await take(parts, place, REPLACED);
}

/** What was stored is told by the next sweep where it cannot be told now. */
export async function tellOrLater({ tell, log }: StepParts, place: Place): Promise<void> {
  await tell(place).catch((error: unknown) =>
    log.warn({ err: error, approval: place.id }, 'a step is not told yet'),
  );
}

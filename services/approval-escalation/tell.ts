/**
 * Tells what happened: first the events, on APPROVALS, and only when the stream has them the entries by which workers
 * know the approval: no approval counts before its evidence is stored. Safe to repeat, and from several processes.
 */
import type pg from 'pg';

import { APPROVAL_KEYS, type ApprovalEntry, openEntry, sealEntry } from '#contracts/approval.ts';
import { asApprovalId } from '#contracts/ids.ts';
import type { MacKeys } from '#contracts/mac.ts';
import { encodeRecords } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { KV } from '#host/nats.ts';
import type { PublishRecord } from '#host/publish.ts';

import {
  type HeldStore,
  markTold,
  type Place,
  readUntold,
  type Row,
  type Untold,
} from './store.ts';

/** @throws when the database, the stream or the bucket cannot be reached; what was told stays told */
export type Tell = (place: Place) => Promise<void>;

export interface TellParts extends HeldStore<pg.Pool> {
  readonly publish: PublishRecord;
  readonly entries: KV;
  readonly key: Uint8Array;
  readonly keys: MacKeys;
}

export function createTell(parts: TellParts): Tell {
  return async (place) => {
    const untold = await readUntold(parts, place);
    if (untold === undefined) return;
    const { row, events, handles } = untold;
    for (const { event, step, leaf, payload } of events) {
      const subject = SUBJECTS.approval(row.tenant, event, asApprovalId(row.id));
      const messageId = `${row.tenant}.${row.id}.${step}`;
      await parts.publish(subject, encodeRecords([{ leaf, payload }]), { messageId });
    }
    const entry = entryOf(untold);
    // Whoever hears of it by its id comes back with the call, which must be there by then.
    await write(parts, APPROVAL_KEYS.call(row.tenant, row.binding), entry);
    for (const handle of handles) await write(parts, APPROVAL_KEYS.id(row.tenant, handle), entry);
    await markTold(parts.pool, row);
  };
}

function entryOf({ row, use }: Untold): ApprovalEntry {
  return {
    approval_id: asApprovalId(row.id),
    decision_id: use?.decisionId ?? '',
    effect: use?.effect ?? '',
    expires_at: row.expiresAt,
    ...coverOf(row),
    note: noteOf(row),
    position: row.position,
    principal: row.facts.principal,
    state: row.state,
    step: row.step,
    used: row.used,
    uses: row.uses,
  };
}

function coverOf({ progress, facts }: Row): Pick<ApprovalEntry, 'grant'> {
  const { grant, grantOf } = progress;
  if (grant === undefined || grantOf === undefined) return {};
  return { grant: { bounds: grant.bounds, rest: facts.rest ?? '' } };
}

const NOTE_CHARS_MAX = 1_000;

/** For the agent: a person's words, and what they put in the place of the arguments where it is short. */
function noteOf({ state, erased, progress: { reason, edit = '' } }: Row): string {
  if (erased) return '';
  if (state === 'denied') return reason;
  if (state !== 'edited') return '';
  const whole = `${reason}${reason === '' ? '' : ' '}Changed arguments: ${edit}`;
  return whole.length <= NOTE_CHARS_MAX ? whole : reason;
}

const WRONG_LAST_SEQUENCE = 10071;
const CONFLICTS_MAX = 8;

/** Writes an entry unless a newer one stands there. */
async function write(
  { entries, key, keys }: TellParts,
  place: string,
  entry: ApprovalEntry,
): Promise<void> {
  const sealed = sealEntry(key, place, entry);
  for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
    const present = await entries.get(place);
    try {
      if (present === null || present.operation !== 'PUT') {
        await entries.create(place, sealed);
        return;
      }
      const before = openEntry(keys, place, present.string());
      // One that nobody can prove is replaced.
      if (typeof before === 'object' && !isNewer(entry, before)) return;
      await entries.update(place, sealed, present.revision);
      return;
    } catch (error) {
      if ((error as { code?: number }).code !== WRONG_LAST_SEQUENCE) throw error;
    }
  }
  throw new Error('an entry changes faster than it can be written');
}

/** A later approval of the same call, a later step of the same one, or the same step with what its use has become or once it was erased. */
function isNewer(entry: ApprovalEntry, before: ApprovalEntry): boolean {
  if (entry.position !== before.position) return entry.position > before.position;
  if (entry.step !== before.step) return entry.step > before.step;
  if (before.effect !== '') return entry.effect === before.effect && holdsLess(entry, before);
  return entry.effect !== '' || holdsLess(entry, before);
}

const holdsLess = (entry: ApprovalEntry, before: ApprovalEntry): boolean =>
  (entry.note === '' && before.note !== '') || (!entry.grant && before.grant !== undefined);

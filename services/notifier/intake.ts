/** Events of APPROVALS become notices. Everything here may come again. */
import { readApprovalEvent } from '#contracts/approval.ts';
import { checkMac, type MacKeys } from '#contracts/mac.ts';
import { decodeRecords } from '#contracts/record.ts';
import { type ApprovalEvent, readRecordSubject } from '#contracts/subjects.ts';
import type { Delivered, Handled } from '#host/consume.ts';
import type { DatabaseWatch } from '#host/database-watch.ts';
import type { Logger } from '#host/log.ts';

import type { Channel, Channels } from './channels.ts';
import { similarTo } from './grouping.ts';
import { keep, type NewNotice, type NoticeStore } from './store.ts';
import { VENDORS } from './vendors.ts';

export interface IntakeParts extends NoticeStore {
  readonly database: DatabaseWatch;
  readonly channels: Channels;
  readonly keys: MacKeys;
  readonly log: Logger;
  readonly now: () => number;
}

const DATABASE_WAIT_MS = 5_000;
const AGAIN_MS = 500;

/** Nothing that a person who was asked has to know. */
const SILENT: ReadonlySet<ApprovalEvent> = new Set(['held', 'used', 'granted']);

/** @param wake called when something is due */
export function intake(
  parts: IntakeParts,
  wake: () => void,
): (batch: readonly Delivered[]) => Promise<Handled> {
  return async (batch) => {
    if (!(await parts.database.waitUsable(DATABASE_WAIT_MS))) return { retryInMs: AGAIN_MS };
    for (const message of batch) {
      const notice = noticeOf(parts, message);
      if (typeof notice === 'object') await keep(parts, notice, parts.now());
      else if (notice !== '')
        parts.log.error({ sequence: message.sequence, fault: notice }, 'an event cannot be read');
    }
    wake();
    return 'done';
  };
}

/** What has to be told of an event; '' for nothing, else what is wrong with it. */
function noticeOf(
  { keys, channels }: IntakeParts,
  { subject, body, mac }: Delivered,
): NewNotice | string {
  const signed = checkMac(keys, { subject, body, header: mac });
  if ('fault' in signed) return signed.fault;
  const read = recordOf(body);
  if (read === undefined) return 'not one event';
  const { leaf, value } = read;
  const { approval_id: approval, step, tenant, id, at, by, state } = leaf;
  const event = leaf.kind.slice('approval.'.length) as ApprovalEvent; // by its schema
  // The chain takes the same for a fault: a leaf under another's subject.
  const named = readRecordSubject(subject);
  if (named?.tenant !== tenant || named.kind !== leaf.kind) return 'not of its subject';
  if (SILENT.has(event)) return '';
  const told = { tenant, approval, step, event: { id, at, by, event, state, value } };
  if (event !== 'reached' && event !== 'reminded') return { ...told, ask: undefined };
  const wished = value.tier?.channels ?? [];
  const names = wished.length > 0 ? wished : channels.meant(value.summary).map(({ name }) => name);
  // One that does not exist becomes a dead letter like one that cannot be reached.
  const ask = names.map((name) => {
    const channel = channels.of(tenant, name);
    const groupMs = channel === undefined ? 0 : groupMsOf(channel);
    return { name, similarTo: groupMs > 0 ? similarTo(value) : '', groupMs };
  });
  return { ...told, ask };
}

const GROUP_S = 300;

const groupMsOf = ({ kind, group_s: seconds = GROUP_S }: Channel): number =>
  VENDORS[kind].groups ? seconds * 1_000 : 0;

function recordOf(body: Uint8Array) {
  try {
    const [record, ...rest] = decodeRecords(Buffer.from(body).toString('utf8'));
    return record === undefined || rest.length > 0 ? undefined : readApprovalEvent(record);
  } catch {
    return undefined; // not lines of leaf and payload
  }
}

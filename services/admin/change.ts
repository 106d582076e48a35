/** Every change is an event: recorded on CONTROL first, and only then said to have happened. */
import { randomBytes } from 'node:crypto';

import type { Changed } from '#contracts/admin-bodies.ts';
import type { Change } from '#contracts/change.ts';
import type { ControlLeaf, Operator } from '#contracts/control.ts';
import { type Revision, revisionOf, type TenantId, uuid7 } from '#contracts/ids.ts';
import { canonical, type Json } from '#contracts/json.ts';
import { encodeRecords, RECORD_BYTES_MAX, sealPayload } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { ControlView } from '#host/control-view.ts';
import type { Bus } from '#host/nats.ts';
import type { PublishRecord } from '#host/publish.ts';

import { AdminError } from './errors.ts';

/**
 * What stands in the chain only and changes no state of the bucket: somebody read a payload, or ordered what becomes of
 * it, signed in, was given a password, or had people told again.
 */
export interface Note {
  readonly kind: 'read' | 'payloads' | 'session' | 'notices';
  readonly action: string;
  readonly target: string;
  readonly value: Json;
}

/** Who changes what of whose. */
export interface ChangeOrder {
  readonly tenant: TenantId;
  /** Id of the operator, `system:<process>`, or `source:<id>` of facts. */
  readonly by: string;
  /** Free words of the operator. */
  readonly reason?: string;
  /** By which the stream knows a repeat of the same event; without it each one is new. */
  readonly messageId?: string;
  readonly change: Change | Note;
}

/**
 * Records a change and waits, at most VISIBLE_MS, until the state that workers watch has it.
 * @throws AdminError change.not_recorded (a repeat is harmless), request.too_large
 */
export type RecordChange = (order: ChangeOrder) => Promise<Changed>;

/** The change of an operator who asks for it. */
export const changeBy =
  (record: RecordChange) =>
  (
    asked: { readonly tenant: TenantId; readonly operator: Operator; readonly reason: string },
    change: Change | Note,
  ): Promise<Changed> =>
    record({ tenant: asked.tenant, by: asked.operator.id, reason: asked.reason, change });

const VISIBLE_MS = 2_000;
const SALT_BYTES = 16;
const ID_BYTES = 10;

export function changeRecorder(
  bus: Bus,
  { publish, view }: { readonly publish: PublishRecord; readonly view: ControlView },
): RecordChange {
  let epoch: Promise<string> | undefined;
  // Behind a reconnect there may be another stream.
  bus.onChange(() => (epoch = undefined));
  return async (order) => {
    const { id, text } = recordOf(order, Date.now());
    if (Buffer.byteLength(text) > RECORD_BYTES_MAX) {
      throw new AdminError('request.too_large', 'This change would make too large a record.');
    }
    // Asking a bus that is away would only wait for a time-out.
    if (!bus.connected()) throw new AdminError('change.not_recorded');
    let revision: Revision;
    try {
      const feed = await (epoch ??= bus.epoch('CONTROL'));
      const subject = SUBJECTS.control(order.tenant, order.change.kind);
      const { sequence } = await publish(subject, text, { messageId: order.messageId ?? id });
      revision = revisionOf(feed, sequence);
    } catch (cause) {
      epoch = undefined;
      throw new AdminError('change.not_recorded', '', { cause });
    }
    return { revision, visible: await view.waitFor(revision, VISIBLE_MS) };
  };
}

/** The record of a change, leaf and payload. */
function recordOf(
  { tenant, by, reason = '', change }: ChangeOrder,
  at: number,
): { readonly id: string; readonly text: string } {
  const { kind, action, target, value } = change;
  const { payload, commitments } = sealPayload(
    // Every value has been read from JSON or fits a schema of JSON.
    { value: canonical(value as Json) },
    {},
    () => randomBytes(SALT_BYTES).toString('hex'),
  );
  const id = uuid7(at, randomBytes(ID_BYTES));
  const leaf: ControlLeaf = {
    action,
    at,
    by,
    commitments,
    id,
    kind: `control.${kind}`,
    reason,
    target,
    tenant,
    v: 1,
  };
  return { id, text: encodeRecords([{ leaf: canonical(leaf), payload }]) };
}

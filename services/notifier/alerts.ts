/** Events that the notifier puts into a tenant's chain: a channel went down or works again, a call reached nobody. */
import { randomBytes } from 'node:crypto';

import type { ControlLeaf } from '#contracts/control.ts';
import { type TenantId, uuid7 } from '#contracts/ids.ts';
import { canonical } from '#contracts/json.ts';
import { encodeRecords, sealPayload } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { PublishRecord } from '#host/publish.ts';

export interface NoticeAlert {
  readonly tenant: TenantId;
  readonly action: 'channel_down' | 'channel_works' | 'nobody_reached';
  /** Name of the channel, or id of the approval. */
  readonly target: string;
  readonly reason: string;
  /** By which the stream knows a repeat. */
  readonly name: string;
}

const SALT_BYTES = 16;
const ID_BYTES = 10;

/** @throws NotRecorded */
export type RaiseAlert = (alert: NoticeAlert) => Promise<void>;

export const alertRaiser =
  (publish: PublishRecord, now: () => number): RaiseAlert =>
  async ({ tenant, action, target, reason, name }) => {
    const at = now();
    const { payload, commitments } = sealPayload({ value: canonical({ name }) }, {}, () =>
      randomBytes(SALT_BYTES).toString('hex'),
    );
    const leaf: ControlLeaf = {
      action,
      at,
      by: 'system:notifier',
      commitments,
      id: uuid7(at, randomBytes(ID_BYTES)),
      kind: 'control.alert',
      reason,
      target,
      tenant,
      v: 1,
    };
    const text = encodeRecords([{ leaf: canonical({ ...leaf }), payload }]);
    await publish(SUBJECTS.control(tenant, 'alert'), text, { messageId: name });
  };

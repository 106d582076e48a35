/** Entries of approvals as approval-escalation wrote them: read when a policy says escalate, believed by their MAC. */
import { APPROVAL_KEYS, APPROVAL_WRITER, openEntry } from '#contracts/approval.ts';
import type { MacKeys } from '#contracts/mac.ts';
import { ConfigError } from '#host/config.ts';
import type { Logger } from '#host/log.ts';
import type { KV } from '#host/nats.ts';

import type { ApprovalPoints } from '../checks/approval.ts';

/** @throws ConfigError without the key of the writer of entries */
export function approvalEntries(bucket: KV, keys: MacKeys, log: Logger): ApprovalPoints {
  const key = keys.get(APPROVAL_WRITER)?.[0];
  if (key === undefined) throw new ConfigError([`MAC keys: none of ${APPROVAL_WRITER}`]);
  return {
    key,
    entry: async (tenant, binding) => {
      const place = APPROVAL_KEYS.call(tenant, binding);
      const stored = await bucket.get(place);
      if (stored === null || stored.operation !== 'PUT') return undefined;
      const entry = openEntry(keys, place, stored.string());
      if (typeof entry === 'object') return entry;
      log.error({ fault: entry }, 'an entry of an approval is not ours; the call stays held');
      return undefined;
    },
  };
}

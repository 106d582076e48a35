/** Events that a worker itself puts into a tenant's chain: an agent that ran away. Once a minute for each agent and rule. */
import { randomBytes } from 'node:crypto';

import type { ControlLeaf } from '#contracts/control.ts';
import { type TenantId, uuid7 } from '#contracts/ids.ts';
import { canonical } from '#contracts/json.ts';
import { encodeRecords, sealPayload } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { Logger } from '#host/log.ts';
import type { PublishRecord } from '#host/publish.ts';

import { freshSalt } from './random.ts';

export interface RunawayAlert {
  readonly tenant: TenantId;
  readonly agent: string;
  readonly agentClass: string;
  /** The rule: repeats or habit. */
  readonly rule: string;
  readonly limit: number;
  /** Milliseconds UTC at which the minute ends. */
  readonly resetsAt: number;
  /** Names the counter, hence agent, rule and minute. */
  readonly counter: string;
}

const ID_BYTES = 10;
const REMEMBERED_MAX = 10_000;

/** Never throws: the call is refused whether its event is stored or not. */
export function createAlerts(publish: PublishRecord, log: Logger): (alert: RunawayAlert) => void {
  const told = new Set<string>();
  return (alert) => {
    if (told.has(alert.counter)) return;
    if (told.size >= REMEMBERED_MAX) told.clear();
    told.add(alert.counter);
    const { tenant, agent, rule, limit } = alert;
    log.warn({ tenant, agent, rule, limit }, 'an agent ran away');
    // Of several workers the first one tells; the name makes the others' repeats.
    publish(SUBJECTS.control(tenant, 'alert'), recordOf(alert), { messageId: alert.counter }).catch(
      (error: unknown) => {
        told.delete(alert.counter);
        log.error({ err: error }, 'an event was not stored');
      },
    );
  };
}

function recordOf({ tenant, agent, agentClass, rule, limit, resetsAt }: RunawayAlert): string {
  const at = Date.now();
  const value = canonical({ class: agentClass, limit, resets_at: resetsAt, rule });
  const { payload, commitments } = sealPayload({ value }, {}, freshSalt);
  const leaf: ControlLeaf = {
    action: 'runaway',
    at,
    by: 'system:decision-worker',
    commitments,
    id: uuid7(at, randomBytes(ID_BYTES)),
    kind: 'control.alert',
    reason: `${rule}: more than ${limit} calls in a minute`,
    target: agent,
    tenant,
    v: 1,
  };
  return encodeRecords([{ leaf: canonical({ ...leaf }), payload }]);
}

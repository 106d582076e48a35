/** Reads of payloads: who reads what, why, and whether masked, is in the chain before anything is given. */
import type { Operator } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { Json } from '#contracts/json.ts';
import type { CommittingLeaf } from '#contracts/payload.ts';

import { readFlag } from './audit-query.ts';
import { changeBy } from './change.ts';
import type { Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { hasRole } from './operators.ts';
import { redactors } from './redaction.ts';

export interface AskedPayloads {
  readonly tenant: TenantId;
  readonly operator: Operator;
  /** The header Countersign-Reason; `why` of the query comes before it. */
  readonly reason: string;
  readonly query: Readonly<Record<string, string>>;
}

/** How payloads are shown to one who asks. */
export interface PayloadView {
  readonly plain: boolean;
  /** Digest of the rules that mask; undefined where nothing is masked. */
  readonly rules: string | undefined;
  readonly show: (leaf: CommittingLeaf, payload: string | null) => string | null;
  /** Records the read. MUST be waited for before anything is given. */
  readonly told: (read: {
    readonly action: 'payload' | 'payloads' | 'export';
    readonly target: string;
    readonly value?: Readonly<Record<string, Json>>;
  }) => Promise<void>;
}

/** @throws AdminError operator.role; request.schema where plain values are asked for without a reason */
export type ViewPayloads = (asked: AskedPayloads) => PayloadView;

export function payloadViews(deps: Deps): ViewPayloads {
  const redactorOf = redactors(deps);
  return ({ tenant, operator, reason: header, query }) => {
    const plain = readFlag(query['plain']);
    const reason = query['why'] ?? header;
    if (!hasRole(operator, 'operator')) throw new AdminError('operator.role');
    if (plain && reason.trim() === '')
      throw new AdminError('request.schema', 'Plain values take a reason: `why`.');
    const masking = plain ? undefined : redactorOf(tenant);
    return {
      plain,
      rules: masking?.rules,
      show: (leaf, payload) =>
        payload === null || masking === undefined ? payload : masking.mask(leaf, payload),
      told: async ({ action, target, value = {} }) => {
        const how = masking === undefined ? { plain } : { plain, rules: masking.rules };
        await changeBy(deps.record)(
          { tenant, operator, reason },
          { kind: 'read', action, target, value: { ...value, ...how } },
        );
      },
    };
  };
}

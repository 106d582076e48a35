/** Revocations: authority taken away for good, on every worker as soon as it sees the event. */
import { PLATFORM } from '#contracts/ids.ts';
import { type Revocation, stopTarget } from '#contracts/stop.ts';

import { changeBy } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { things } from './things.ts';

type Revocations = Pick<AdminHandlers, 'listRevocations' | 'revoke'>;

export function revocationHandlers({ view, record }: Deps): Revocations {
  const change = changeBy(record);
  return {
    listRevocations: async ({ tenant }) =>
      things<Revocation>(view, `revocation.${tenant}.`, (place) => place),
    revoke: async (asked) => {
      const { body, operator, tenant } = asked;
      // Nobody calls as the platform; a revocation there would stop nothing and look as if it did.
      if (tenant === PLATFORM) throw new AdminError('tenant.name', 'Revoke within a tenant.');
      return change(
        { ...asked, reason: body.reason },
        {
          kind: 'revocation',
          action: 'revoke',
          target: stopTarget(body.kind, body.id),
          value: { ...body, by: operator.id },
        },
      );
    },
  };
}

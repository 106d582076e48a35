/** Exceptions: made by one person, looked at by another, over on their day or when somebody ends them. */
import { CONTROL_KEYS, decodeKey } from '#contracts/control.ts';
import type { Exception } from '#contracts/exception.ts';
import { PLATFORM } from '#contracts/ids.ts';
import type { ROLLOUT_OPERATIONS } from '#contracts/rollout-api.ts';

import type { Handlers } from './app.ts';
import { changeBy } from './change.ts';
import type { Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { mustExist, thing, things } from './things.ts';

type Exceptions = Pick<
  Handlers<typeof ROLLOUT_OPERATIONS>,
  'listExceptions' | 'getException' | 'putException' | 'reviewException' | 'endException'
>;

const DAY_MS = 86_400_000;

export function exceptionHandlers({ view, record }: Deps): Exceptions {
  const change = changeBy(record);
  return {
    listExceptions: async ({ tenant }) =>
      things<Exception>(view, CONTROL_KEYS.exception(tenant, ''), decodeKey),
    getException: async ({ tenant, path: { id = '' } }) =>
      thing<Exception>(view, CONTROL_KEYS.exception(tenant, id), id),
    putException: async (asked) => {
      const {
        operator,
        tenant,
        path: { id: target = '' },
      } = asked;
      const { days, ...scope } = asked.body;
      const { agent, class: agentClass, tool, why } = scope;
      // Nobody calls as the platform.
      if (tenant === PLATFORM) throw new AdminError('tenant.name', 'Except within a tenant.');
      if (agent === undefined && agentClass === undefined && tool === undefined) {
        throw new AdminError('exception.scope');
      }
      const value = {
        ...scope,
        expires_at: Date.now() + Math.round(days * DAY_MS),
        by: operator.id,
      };
      return change({ ...asked, reason: why }, { kind: 'exception', action: 'put', target, value });
    },
    reviewException: async (asked) => {
      const {
        operator,
        tenant,
        reason,
        path: { id: target = '' },
      } = asked;
      const key = CONTROL_KEYS.exception(tenant, target);
      mustExist(view, key);
      // The projector refuses it too; here it is said, and no event is about nothing.
      if (view.get<Exception>(key)?.value?.by === operator.id) {
        throw new AdminError('exception.same_person');
      }
      const value = { by: operator.id, reason };
      return change(asked, { kind: 'exception', action: 'review', target, value });
    },
    endException: async (asked) => {
      const {
        operator,
        tenant,
        path: { id: target = '' },
      } = asked;
      const { reason } = asked.body;
      mustExist(view, CONTROL_KEYS.exception(tenant, target));
      const value = { by: operator.id, reason };
      return change({ ...asked, reason }, { kind: 'exception', action: 'end', target, value });
    },
  };
}

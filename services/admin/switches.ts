/** Kill switches: engaged by one person at once, released by two. Works without any database. */
import type { Changed } from '#contracts/admin-bodies.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { PLATFORM, type TenantId } from '#contracts/ids.ts';
import { stopTarget, type Switch, type SwitchScope } from '#contracts/stop.ts';

import { changeBy } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { exists, mustExist, things } from './things.ts';

type Switches = Pick<
  AdminHandlers,
  'listSwitches' | 'engageSwitch' | 'releaseSwitch' | 'drillSwitches'
>;

export function switchHandlers({ view, record, drill }: Deps): Switches {
  const change = changeBy(record);
  const send = (
    asked: Parameters<AdminHandlers['releaseSwitch']>[0],
    action: 'engage' | 'release',
  ): Promise<Changed> => {
    const { scope, id = '', reason = '' } = asked.body;
    const value = { scope, id, reason, by: asked.operator.id };
    const target = stopTarget(scope, id);
    return change({ ...asked, reason }, { kind: 'switch', action, target, value });
  };
  return {
    listSwitches: async ({ tenant }) => {
      const of = (whose: TenantId) => things<Switch>(view, `switch.${whose}.`, (place) => place);
      const own = of(tenant);
      return tenant === PLATFORM ? own : { ...own, items: [...of(PLATFORM).items, ...own.items] };
    },
    engageSwitch: async (asked) => {
      keyOf(asked.tenant, asked.body);
      return { ...(await send(asked, 'engage')), engaged: true };
    },
    releaseSwitch: async (asked) => {
      const key = keyOf(asked.tenant, asked.body);
      mustExist(view, key);
      // The projector refuses it too; here it is said, and no event is about nothing.
      if (view.get<Switch>(key)?.value?.release?.by === asked.operator.id) {
        throw new AdminError('switch.same_person');
      }
      return { ...(await send(asked, 'release')), engaged: exists(view, key) };
    },
    drillSwitches: async ({ tenant, operator, body }) => {
      if (tenant !== PLATFORM) throw new AdminError('switch.place', 'A drill is for everybody.');
      return drill({ ...body, by: operator.id });
    },
  };
}

/** Key of the switch. @throws AdminError switch.place where it would stop nothing, or something else than it says */
function keyOf(
  tenant: TenantId,
  { scope, id = '' }: { readonly scope: SwitchScope; readonly id?: string },
): string {
  const whole = scope === 'global' || scope === 'tenant';
  if ((scope === 'global') !== (tenant === PLATFORM) || whole !== (id === '')) {
    throw new AdminError('switch.place');
  }
  return CONTROL_KEYS.switch(tenant, scope, id);
}

/** Whether a held call is over by what the control view says: another policy, a kill switch, a revocation. Pure look-ups. */
import { type ActivePolicy, CONTROL_KEYS } from '#contracts/control.ts';
import { PLATFORM, type TenantId } from '#contracts/ids.ts';
import { killedBy, type RevocationKind } from '#contracts/stop.ts';
import type { ControlView } from '#host/control-view.ts';

import { type Step, SYSTEM } from './reduce.ts';
import type { Row } from './store.ts';

type View = Pick<ControlView, 'get'>;

/** The step that ends the call, undefined when nothing does. */
export function overBy(row: Row, view: View): Step | undefined {
  if (row.used >= row.uses) return undefined;
  const stopped = stoppedBy(row, view);
  if (stopped !== '') return { is: 'cancel', ...SYSTEM, reason: stopped };
  const same = row.facts.policies.every(
    ({ role, digest }) => active(view, role === 'floor' ? PLATFORM : row.tenant) === digest,
  );
  return same ? undefined : { is: 'supersede' };
}

const active = (view: View, tenant: TenantId): string =>
  view.get<ActivePolicy>(CONTROL_KEYS.policy(tenant))?.value?.digest ?? '';

function stoppedBy({ tenant, facts, progress }: Row, view: View): string {
  const { tool, upstream, agent, person } = progress.summary;
  const actors = [agent, ...facts.actors];
  const is = (key: string) => (view.get(key)?.value ?? null) !== null;
  const { workflow } = facts;
  const killed = killedBy(
    { tenant, tool, upstream, actors, person, workflow, sessions: [facts.session] },
    (whose, scope, id) => is(CONTROL_KEYS.switch(whose, scope, id)),
  );
  if (killed === 'global') return 'everything is stopped';
  if (killed !== '') return `stopped by a kill switch: ${killed}`;
  const rights: readonly (readonly [RevocationKind, readonly string[]])[] = [
    ['agent', actors],
    ['person', [person]],
    ['workflow', [workflow]],
    ['task', [facts.task]],
  ];
  const revoked = rights.find(([kind, ids]) =>
    ids.some((id) => id !== '' && is(CONTROL_KEYS.revocation(tenant, kind, id))),
  );
  return revoked === undefined ? '' : `revoked: ${revoked[0]}`;
}

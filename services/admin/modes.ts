/** Rollout modes of agent classes: another one is entered when its criteria are met, or by a recorded override. */
import { type Agent, CONTROL_KEYS, decodeKey } from '#contracts/control.ts';
import type { Exception } from '#contracts/exception.ts';
import { PLATFORM, type TenantId } from '#contracts/ids.ts';
import {
  type Canary,
  type ClassMode,
  CRITERIA_DEFAULT,
  type Criterion,
  judged,
  type Mode,
  type ModeMeasured,
  type ModeRequest,
  MODES,
  unmet,
} from '#contracts/mode.ts';
import type { ROLLOUT_OPERATIONS } from '#contracts/rollout-api.ts';
import type { ControlView } from '#host/control-view.ts';

import type { Handlers } from './app.ts';
import { changeBy } from './change.ts';
import type { Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import type { ReadSeen } from './rollout-reads.ts';
import { things } from './things.ts';

type Modes = Pick<Handlers<typeof ROLLOUT_OPERATIONS>, 'listModes' | 'getMode' | 'putMode'>;

const DAY_MS = 86_400_000;

/** @param seen undefined where no database is configured */
export function modeHandlers({ view, record, log }: Deps, seen: ReadSeen | undefined): Modes {
  const change = changeBy(record);
  const measure = async (tenant: TenantId, mode: ClassMode): Promise<ModeMeasured> => {
    const counted = await seen?.(tenant, mode.class, mode.since).catch((error: unknown) => {
      log.warn({ err: error }, 'the decisions of a class cannot be counted');
      return undefined;
    });
    return {
      days: (Date.now() - mode.since) / DAY_MS,
      decisions: counted?.decisions ?? null,
      would_block: counted?.wouldBlock ?? null,
      unreviewed_exceptions: unreviewed(view, tenant, mode.class),
    };
  };
  return {
    listModes: async ({ tenant }) =>
      things<ClassMode>(view, CONTROL_KEYS.mode(tenant, ''), decodeKey),
    getMode: async ({ tenant, path: { class: name = '' } }) => {
      const value = modeOf(view, tenant, name);
      const measured = await measure(tenant, value);
      const next = stricter(value.mode).map((mode) => ({
        mode,
        ...way(mode === 'observe' ? [] : judged(value.criteria[mode], measured)),
      }));
      const { leave: toLeave } = value.criteria;
      const leave =
        toLeave === undefined || value.mode === 'observe' ? null : way(judged(toLeave, measured));
      const agents = agentsOf(view, tenant, name);
      return { revision: view.revision(), class: name, agents, value, measured, next, leave };
    },
    putMode: async (asked) => {
      const { body, operator, tenant } = asked;
      const { class: name = '' } = asked.path;
      if (body.canary !== undefined && body.mode === 'enforce') throw new AdminError('mode.canary');
      // Nobody calls as the platform.
      if (tenant === PLATFORM) throw new AdminError('tenant.name', 'Modes belong to a tenant.');
      const before = modeOf(view, tenant, name);
      const measured = await measure(tenant, before);
      const faults = faultsOf(before, body, measured);
      if (faults.length > 0 && body.override !== true) {
        throw new AdminError('mode.criteria', `Not yet: ${faults.join('; ')}.`, {
          extra: { unmet: faults },
        });
      }
      const value = {
        class: name,
        mode: body.mode,
        canary: body.canary ?? null,
        criteria: body.criteria ?? null,
        by: operator.id,
        reason: body.reason,
        override: faults.length > 0,
        measured,
      };
      return change(
        { ...asked, reason: body.reason },
        { kind: 'mode', action: 'set', target: name, value },
      );
    },
  };
}

/** The mode of a class; one that nobody set is enforced since ever. */
function modeOf(view: ControlView, tenant: TenantId, name: string): ClassMode {
  const found = view.get<ClassMode>(CONTROL_KEYS.mode(tenant, name))?.value ?? undefined;
  return (
    found ?? {
      class: name,
      mode: 'enforce',
      canary: null,
      criteria: CRITERIA_DEFAULT,
      by: '',
      reason: '',
      override: false,
      since: 0,
    }
  );
}

const way = (criteria: Criterion[]) => ({ criteria, unmet: unmet(criteria) });
const stricter = (mode: Mode): Mode[] => MODES.slice(MODES.indexOf(mode) + 1);

/** Why a change needs an override; the criteria are those that stand, not those that come with it. */
function faultsOf(
  before: ClassMode,
  { mode, canary }: ModeRequest,
  measured: ModeMeasured,
): string[] {
  const [from, to] = [MODES.indexOf(before.mode), MODES.indexOf(mode)];
  if (to < from) {
    const { leave } = before.criteria;
    const less = `${mode} enforces less than ${before.mode}`;
    return leave === undefined
      ? [less]
      : unmet(judged(leave, measured)).map((one) => `${less}, and ${one}`);
  }
  const faults =
    to === from || mode === 'observe' ? [] : unmet(judged(before.criteria[mode], measured));
  const kept = before.canary === null || mode === 'enforce' || keeps(canary, before.canary);
  return kept ? faults : [...faults, 'another or a smaller canary share enforces less of some'];
}

/** Whether all that one share enforces the other does, too. */
const keeps = (canary: Canary | undefined, before: Canary): boolean =>
  canary?.by === before.by && canary.percent >= before.percent;

function agentsOf(view: ControlView, tenant: TenantId, name: string): number {
  const agents = things<Agent>(view, CONTROL_KEYS.agent(tenant, ''), decodeKey).items;
  return agents.filter(({ value }) => value.class === name).length;
}

/** Exceptions in force that concern the class, and that nobody but their maker has looked at. */
function unreviewed(view: ControlView, tenant: TenantId, name: string): number {
  const now = Date.now();
  const all = things<Exception>(view, CONTROL_KEYS.exception(tenant, ''), decodeKey).items;
  return all.filter(({ value }) => {
    const { agent, class: whose, review, expires_at: until } = value;
    if (review !== null || until <= now) return false;
    const agentClass =
      agent === undefined
        ? undefined
        : view.get<Agent>(CONTROL_KEYS.agent(tenant, agent))?.value?.class;
    return (whose ?? name) === name && (agentClass ?? name) === name;
  }).length;
}

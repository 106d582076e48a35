/** Rollout modes and exceptions, as the control view has them. A plain allowed call costs one look-up in memory. */
import { decodeKey } from '#contracts/control.ts';
import { type Exception, exceptionLifts } from '#contracts/exception.ts';
import { type ClassMode, type Mode, modeLifts, modeOfCall } from '#contracts/mode.ts';
import type { Reason } from '#contracts/reasons.ts';
import type { ControlView } from '#host/control-view.ts';

import type { Call, Principal } from '../decide.ts';

export interface Rollout {
  /** The mode that this call is judged in. */
  readonly mode: (call: Call, by: Principal) => Mode;
  /** What lifts a refusal of this call: `exception:<id>`, else a mode; empty = nothing, it stands. */
  readonly lift: (call: Call, by: Principal, reason: Reason) => string;
}

/** Kept current by the view. */
export function rolloutOf(view: ControlView): Rollout {
  const modes = new Map<string, Map<string, ClassMode>>();
  const exceptions = new Map<string, Map<string, Exception>>();
  view.onChange((key, { value }) => {
    const [family, tenant = '', token = ''] = key.split('.', 3);
    // The projector writes only what fits the schema of its key.
    if (family === 'mode') keep(modes, [tenant, decodeKey(token)], value as ClassMode | null);
    else if (family === 'exception') {
      keep(exceptions, [tenant, decodeKey(token)], value as Exception | null);
    }
  });
  const mode: Rollout['mode'] = (call, by) => {
    const found = modes.get(call.tenant)?.get(by.agentClass);
    return found === undefined ? 'enforce' : modeOfCall(found, placeOf(call, by));
  };
  return {
    mode,
    lift: (call, by, reason) => {
      const { agent, agentClass } = by;
      const of = { agent, agentClass, tool: call.envelope.tool, reason, at: call.at };
      for (const [id, exception] of exceptions.get(call.tenant) ?? []) {
        if (exceptionLifts(exception, of)) return `exception:${id}`;
      }
      const now = mode(call, by);
      return modeLifts(reason, now) ? now : '';
    },
  };
}

const placeOf = ({ tenant, envelope }: Call, { agent, session }: Principal) => ({
  tenant,
  agent,
  session: envelope.session_id ?? session,
});

function keep<T>(
  all: Map<string, Map<string, T>>,
  [tenant, name]: readonly [tenant: string, name: string],
  value: T | null,
): void {
  const own = all.get(tenant) ?? new Map<string, T>();
  if (value === null) own.delete(name);
  else own.set(name, value);
  all.set(tenant, own);
}

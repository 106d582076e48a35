/** Calls on their way to an upstream: an engaged kill switch cuts off those in its scope, and keeps others from leaving. */
import {
  inScope,
  killedBy,
  type Stoppable,
  type Switch,
  type SwitchScope,
} from '#contracts/stop.ts';
import type { ControlView } from '#host/control-view.ts';
import { counter } from '#host/metrics.ts';

/** One call on its way. */
export interface Journey {
  /** Scope of the switch that cut it off; empty = none. */
  readonly killedBy: () => SwitchScope | '';
  readonly leave: () => void;
}

export interface InFlight {
  /** Watches over a call until it leaves; `abort` is called at most once, also at once. */
  readonly enter: (call: Stoppable, abort: () => void) => Journey;
}

/** Kept current by the view. */
export function watchInFlight(view: ControlView): InFlight {
  /** Places of engaged switches, by key and as a set. */
  const engaged = new Map<string, string>();
  const places = new Set<string>();
  const ways = new Set<OnTheWay>();
  const aborted = counter<{ scope: string }>(
    'countersign_calls_aborted',
    'Calls that a kill switch cut off on their way to an upstream.',
  );
  const cut = (way: OnTheWay, scope: SwitchScope) => {
    way.killedBy = scope;
    ways.delete(way);
    aborted.add(1, { scope });
    way.abort();
  };
  const isEngaged = (tenant: string, scope: SwitchScope, id: string) =>
    places.has(placeText(tenant, scope, id));
  view.onChange((key, { value }) => {
    const [family, tenant = ''] = key.split('.', 2);
    if (family !== 'switch') return;
    const before = engaged.get(key);
    if (before !== undefined) places.delete(before);
    if (value === null) return void engaged.delete(key);
    // The projector writes only what fits the schema of its key.
    const { scope, id } = value as Switch;
    const place = placeText(tenant, scope, id);
    places.add(place);
    engaged.set(key, place);
    for (const way of ways) if (inScope({ tenant, scope, id }, way.call)) cut(way, scope);
  });
  return {
    enter: (call, abort) => {
      const way: OnTheWay = { call, abort, killedBy: '' };
      ways.add(way);
      const scope = places.size === 0 ? '' : killedBy(call, isEngaged);
      if (scope !== '') cut(way, scope);
      return { killedBy: () => way.killedBy, leave: () => void ways.delete(way) };
    },
  };
}

const placeText = (tenant: string, scope: SwitchScope, id: string): string =>
  `${tenant}\n${scope}\n${id}`;

interface OnTheWay {
  readonly call: Stoppable;
  readonly abort: () => void;
  killedBy: SwitchScope | '';
}

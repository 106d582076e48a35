/** Calls on their way to an upstream: an engaged kill switch cuts off those in its scope, and keeps others from leaving. */
import {
  inScope,
  type Stoppable,
  type Switch,
  type SwitchPlace,
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
  const engaged = new Map<string, SwitchPlace>();
  const ways = new Set<OnTheWay>();
  const aborted = counter<{ scope: string }>(
    'countersign_calls_aborted',
    'Calls that a kill switch cut off on their way to an upstream.',
  );
  const cut = (way: OnTheWay, place: SwitchPlace) => {
    if (way.killedBy !== '' || !inScope(place, way.call)) return;
    way.killedBy = place.scope;
    ways.delete(way);
    aborted.add(1, { scope: place.scope });
    way.abort();
  };
  view.onChange((key, { value }) => {
    const [family, tenant = ''] = key.split('.', 2);
    if (family !== 'switch') return;
    if (value === null) return void engaged.delete(key);
    // The projector writes only what fits the schema of its key.
    const { scope, id } = value as Switch;
    const place = { tenant, scope, id };
    engaged.set(key, place);
    for (const way of ways) cut(way, place);
  });
  return {
    enter: (call, abort) => {
      const way: OnTheWay = { call, abort, killedBy: '' };
      ways.add(way);
      for (const place of engaged.values()) cut(way, place);
      return { killedBy: () => way.killedBy, leave: () => void ways.delete(way) };
    },
  };
}

interface OnTheWay {
  readonly call: Stoppable;
  readonly abort: () => void;
  killedBy: SwitchScope | '';
}

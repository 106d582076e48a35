/** What was stopped, as the control view has it: sets in memory, so that each call costs look-ups only. */
import type { Revocation, Switch } from '#contracts/stop.ts';
import type { ControlView } from '#host/control-view.ts';

import type { Stops } from '../checks/stopped.ts';

/** Kept current by the view; what is gone from the feed is gone from here. */
export function stopsOf(view: ControlView): Stops {
  const revocations = new Named();
  const switches = new Named();
  view.onChange((key, { value }) => {
    const [family, tenant = ''] = key.split('.', 2);
    // The projector writes only what fits the schema of its key.
    if (family === 'revocation') {
      const { kind, id } = (value ?? NOTHING) as Revocation;
      revocations.set(key, value === null ? undefined : [tenant, kind, id]);
    } else if (family === 'switch') {
      const { scope, id } = (value ?? NOTHING) as Switch;
      switches.set(key, value === null ? undefined : [tenant, scope, id]);
    }
  });
  return {
    revoked: (tenant, kind, id) => revocations.has(tenant, kind, id),
    engaged: (tenant, scope, id) => switches.has(tenant, scope, id),
  };
}

const NOTHING = {};

type Name = readonly [tenant: string, kind: string, id: string];

/** Ids by tenant and kind. A tenant without any costs one look-up. */
class Named {
  readonly #ids = new Map<string, Map<string, Set<string>>>();
  readonly #byKey = new Map<string, Name>();

  has(tenant: string, kind: string, id: string): boolean {
    return this.#ids.get(tenant)?.get(kind)?.has(id) === true;
  }

  /** Undefined = nothing stands under the key any more. */
  set(key: string, name: Name | undefined): void {
    const before = this.#byKey.get(key);
    if (before !== undefined) {
      const [tenant, kind, id] = before;
      this.#ids.get(tenant)?.get(kind)?.delete(id);
      this.#byKey.delete(key);
    }
    if (name === undefined) return;
    const [tenant, kind, id] = name;
    const kinds = this.#ids.get(tenant) ?? new Map<string, Set<string>>();
    const ids = kinds.get(kind) ?? new Set<string>();
    this.#ids.set(tenant, kinds.set(kind, ids.add(id)));
    this.#byKey.set(key, name);
  }
}

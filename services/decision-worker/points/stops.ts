/** What was stopped, as the control view has it: sets in memory, so that each call costs look-ups only. */
import type { Revocation, RevocationKind } from '#contracts/stop.ts';
import type { ControlView } from '#host/control-view.ts';

import type { Stops } from '../checks/stopped.ts';

/** Kept current by the view; what is gone from the feed is gone from here. */
export function stopsOf(view: ControlView): Stops {
  const revocations = new Named();
  view.onChange((key, { value }) => {
    const [family, tenant = ''] = key.split('.', 2);
    if (family !== 'revocation') return;
    // The projector writes only what fits the schema of its key.
    const revocation = value as Revocation | null;
    revocations.set(
      key,
      revocation === null ? undefined : [tenant, revocation.kind, revocation.id],
    );
  });
  return {
    revoked: (tenant, kind: RevocationKind, id) => revocations.has(tenant, kind, id),
  };
}

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

/** Systems that facts come from: registered by people; each says by an event how recent its word is. */
import type { FactSourceShown } from '#contracts/admin-bodies.ts';
import { CLOCK_SKEW_MS } from '#contracts/call.ts';
import { CONTROL_KEYS, decodeKey, type FactChange } from '#contracts/control.ts';
import { factKey } from '#contracts/fact-name.ts';
import { type FactSource, feeds, type SourceTime } from '#contracts/fact-source.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { ControlView } from '#host/control-view.ts';

import { changeBy } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { mustExist, things } from './things.ts';

type Sources = Pick<AdminHandlers, 'listFactSources' | 'putFactSource' | 'deleteFactSource'>;

export function factSourceHandlers({ view, record }: Deps): Sources {
  const change = changeBy(record);
  return {
    listFactSources: async ({ tenant }) => {
      const all = things<FactSource>(view, CONTROL_KEYS.source(tenant, ''), decodeKey);
      const items = all.items.map(({ value, ...item }) => {
        const at = asOfOf(view, tenant, item.id);
        const shown: FactSourceShown = {
          ...value,
          as_of: at === undefined ? null : new Date(at).toISOString(),
        };
        return { ...item, value: shown };
      });
      return { ...all, items };
    },
    putFactSource: async (asked) => {
      const { id = '' } = asked.path;
      for (const [at, name] of asked.body.keys.entries()) {
        if (factKey(name) === undefined) {
          throw new AdminError('facts.key', '', { path: `/keys/${at}` });
        }
      }
      return change(asked, { kind: 'source', action: 'put', target: id, value: asked.body });
    },
    deleteFactSource: async (asked) => {
      const { id = '' } = asked.path;
      mustExist(view, CONTROL_KEYS.source(asked.tenant, id));
      return change(asked, { kind: 'source', action: 'delete', target: id, value: null });
    },
  };
}

/** When the source last spoke, in milliseconds UTC by its clock. */
const asOfOf = (view: ControlView, tenant: TenantId, id: string): number | undefined =>
  view.get<SourceTime>(CONTROL_KEYS.sourceTime(tenant, id))?.value?.as_of;

/** What a source may say: its own facts, and not what is older than what it said before. @throws AdminError */
export function checkSource(
  view: ControlView,
  told: {
    readonly tenant: TenantId;
    readonly source: string;
    readonly asOf: string | undefined;
    readonly changes: readonly FactChange[];
  },
): number {
  const { tenant, source: id, changes } = told;
  const source = view.get<FactSource>(CONTROL_KEYS.source(tenant, id))?.value ?? null;
  if (source === null) throw new AdminError('facts.source_unknown');
  const foreign = changes.findIndex(({ key }) => !feeds(source, key));
  if (foreign !== -1) {
    throw new AdminError('facts.source', '', { path: `/changes/${foreign}/key` });
  }
  const now = Date.now();
  const asOf = told.asOf === undefined ? now : Date.parse(told.asOf);
  if (!Number.isSafeInteger(asOf) || asOf < 0 || asOf > now + CLOCK_SKEW_MS) {
    throw new AdminError('facts.as_of', '', { path: '/as_of' });
  }
  if (asOf < (asOfOf(view, tenant, id) ?? 0)) {
    throw new AdminError('facts.outdated', '', { path: '/as_of' });
  }
  return asOf;
}

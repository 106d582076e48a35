/** Facts: what policies know beside the call. Each change is an event with a revision. */
import type { FactsRequest } from '#contracts/admin-bodies.ts';
import type { Change } from '#contracts/change.ts';
import { CONTROL_KEYS, FACT_BYTES_MAX, type FactChange } from '#contracts/control.ts';
import { factKey, factName } from '#contracts/fact-name.ts';
import type { TenantId } from '#contracts/ids.ts';
import { canonical, type Json } from '#contracts/json.ts';
import type { ControlView } from '#host/control-view.ts';

import { changeBy } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { checkSource } from './fact-sources.ts';
import { mustExist, thing, things } from './things.ts';

type Facts = Pick<
  AdminHandlers,
  'listFacts' | 'changeFacts' | 'getFact' | 'putFact' | 'patchFact' | 'deleteFact'
>;

const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 1_000;

export function factHandlers({ view, record }: Deps): Facts {
  const change = changeBy(record);
  const apply = (asked: Parameters<typeof change>[0], changes: FactChange[]) => {
    const [first] = changes;
    const target =
      changes.length === 1 && first !== undefined ? first.key : `${changes.length} facts`;
    return change(asked, { kind: 'facts', action: 'change', target, value: { changes } });
  };
  return {
    listFacts: async ({ tenant, query }) => {
      const { prefix = '', after = '' } = query;
      const limit = limitOf(query['limit']);
      const all = things<Json>(view, CONTROL_KEYS.fact(tenant, ''), factName);
      const found = all.items.filter(({ id }) => id.startsWith(prefix) && id > after);
      return { ...all, items: found.slice(0, limit), more: found.length > limit };
    },
    getFact: async ({ tenant, path }) => {
      const key = keyOf(path['key'] ?? '', '');
      return thing<Json>(view, CONTROL_KEYS.fact(tenant, key), factName(key));
    },
    putFact: async (asked) =>
      apply(asked, [factChange('put', keyOf(asked.path['key'] ?? '', ''), asked.body, '')]),
    patchFact: async (asked) =>
      apply(asked, [factChange('patch', keyOf(asked.path['key'] ?? '', ''), asked.body, '')]),
    deleteFact: async (asked) => {
      const key = keyOf(asked.path['key'] ?? '', '');
      mustExist(view, CONTROL_KEYS.fact(asked.tenant, key));
      return apply(asked, [{ op: 'delete', key }]);
    },
    changeFacts: async (asked) => change(asked, factsChange(view, asked)),
  };
}

type FactsEvent = Extract<Change, { kind: 'facts' }>;

/** Several changes as one event, of people or of a source. @throws AdminError */
export function factsChange(
  view: ControlView,
  { tenant, body }: { readonly tenant: TenantId; readonly body: FactsRequest },
): FactsEvent {
  const changes = body.changes.map(checkedChange);
  const { source, as_of: asOf } = body;
  const [first] = changes;
  const target =
    changes.length === 1 && first !== undefined ? first.key : `${changes.length} facts`;
  const event = { kind: 'facts', action: 'change', target } as const;
  if (source === undefined) {
    if (asOf !== undefined || first === undefined) throw new AdminError('facts.none');
    return { ...event, value: { changes } };
  }
  const at = checkSource(view, { tenant, source, asOf, changes });
  return { ...event, value: { changes, source, as_of: at } };
}

function checkedChange(
  { op, key: name, value }: FactsRequest['changes'][number],
  at: number,
): FactChange {
  const path = `/changes/${at}`;
  if ((op === 'delete') !== (value === undefined)) {
    throw new AdminError('request.schema', '"put" and "patch" have a value, "delete" none.', {
      path,
    });
  }
  const key = keyOf(name, `${path}/key`);
  return op === 'delete' || value === undefined
    ? { op: 'delete', key }
    : factChange(op, key, value, `${path}/value`);
}

/** untrusted: a fact's name. @throws AdminError facts.key */
function keyOf(name: string, path: string): string {
  const key = factKey(name);
  if (key === undefined) throw new AdminError('facts.key', '', { path });
  return key;
}

/** A checked change. @throws AdminError facts.null, facts.too_large */
function factChange(op: 'put' | 'patch', key: string, value: Json, path: string): FactChange {
  const at = nullIn(value, op === 'patch');
  if (at !== undefined) throw new AdminError('facts.null', '', { path: `${path}${at}` });
  if (Buffer.byteLength(canonical(value)) > FACT_BYTES_MAX) {
    throw new AdminError('facts.too_large', '', { path });
  }
  return { op, key, value };
}

/**
 * Pointer to a null that would stand in a fact. In a patch a member that is null is removed, but a patch that is null
 * itself, or an array with null, would put it there.
 */
function nullIn(value: Json, patch: boolean): string | undefined {
  if (value === null) return '';
  if (typeof value !== 'object') return undefined;
  const removes = patch && !Array.isArray(value);
  for (const [name, part] of Object.entries(value)) {
    const inside = removes && part === null ? undefined : nullIn(part, removes);
    if (inside !== undefined) {
      return `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}${inside}`;
    }
  }
  return undefined;
}

function limitOf(text: string | undefined): number {
  const limit = text === undefined ? LIMIT_DEFAULT : Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw new AdminError('request.schema', `"limit" is a whole number from 1 to ${LIMIT_MAX}.`);
}

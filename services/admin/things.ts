/** How registered things are shown: each with the revision of the change that made it. */
import type { ControlEntry } from '#contracts/control.ts';
import { parseRevision, type Revision, revisionOf } from '#contracts/ids.ts';
import type { ControlView } from '#host/control-view.ts';

import { AdminError } from './errors.ts';

export interface Item<T> {
  readonly id: string;
  readonly revision: string;
  readonly changed_at: string;
  readonly value: T;
}

export interface List<T> {
  readonly revision: Revision;
  readonly items: Item<T>[];
}

/** A thing as it is shown. */
export function itemOf<T>(view: ControlView, id: string, entry: ControlEntry<T>): Item<T> {
  const { value, sequence, at } = entry;
  if (value === null) throw new AdminError('thing.not_found');
  const epoch = parseRevision(view.revision())?.epoch ?? '0';
  return {
    id,
    revision: revisionOf(epoch, sequence),
    changed_at: new Date(at).toISOString(),
    value,
  };
}

/** The thing under a key. @throws AdminError thing.not_found */
export function thing<T>(view: ControlView, key: string, id: string): Item<T> {
  const entry = view.get<T>(key);
  if (entry === undefined) throw new AdminError('thing.not_found');
  return itemOf(view, id, entry);
}

/** True when there is a thing under the key. */
export const exists = (view: ControlView, key: string): boolean =>
  (view.get(key)?.value ?? null) !== null;

/** A deletion of what is not there would be an event about nothing. @throws AdminError thing.not_found */
export function mustExist(view: ControlView, key: string): void {
  if (!exists(view, key)) throw new AdminError('thing.not_found');
}

/** The thing under a key, or what holds while nobody has put any. */
export function thingOr<T>(view: ControlView, key: string, id: string, otherwise: T): Item<T> {
  const entry = view.get<T>(key);
  const put = entry !== undefined && entry.value !== null;
  return itemOf(view, id, put ? entry : { sequence: 0, at: 0, value: otherwise });
}

/** All things whose key begins with the prefix, ascending by id. */
export function things<T>(
  view: ControlView,
  prefix: string,
  idOf: (rest: string) => string,
): List<T> {
  const items = view.keys(prefix).flatMap((key) => {
    const entry = view.get<T>(key);
    if (entry === undefined || entry.value === null) return [];
    return [itemOf(view, idOf(key.slice(prefix.length)), entry)];
  });
  items.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { revision: view.revision(), items };
}

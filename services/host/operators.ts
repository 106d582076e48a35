/** Who operates the platform, read off the control view: for every process that takes orders of persons. */
import { CONTROL_KEYS, decodeKey, type Operator } from '#contracts/control.ts';

import type { ControlView } from './control-view.ts';

/** The registered operators by id, kept current; those that were deleted are gone. */
export function operatorsOf(view: ControlView): ReadonlyMap<string, Operator> {
  const prefix = CONTROL_KEYS.operator('');
  const operators = new Map<string, Operator>();
  view.onChange((key, entry) => {
    if (!key.startsWith(prefix)) return;
    const id = decodeKey(key.slice(prefix.length));
    if (entry.value === null) operators.delete(id);
    // The projector writes only what fits the schema of its key.
    else operators.set(id, entry.value as Operator);
  });
  return operators;
}

/** The life of a kill switch, over its events alone: one person engages it, two release it. */
import type { Change } from '#contracts/change.ts';
import type { Switch } from '#contracts/stop.ts';

type SwitchChange = Extract<Change, { kind: 'switch'; action: 'engage' | 'release' }>;

/** The switch after an event; null = not engaged. Engaging again withdraws a first release: somebody wants it to stay. */
export function switchAfter(
  before: Switch | null,
  { action, value }: Pick<SwitchChange, 'action' | 'value'>,
  at: number,
): Switch | null {
  if (action === 'engage') {
    return before === null ? { ...value, at, release: null } : { ...before, release: null };
  }
  if (before === null) return null;
  const { by, reason } = value;
  if (before.release === null) return { ...before, release: { by, reason, at } };
  return before.release.by === by ? before : null;
}

/** The rollout mode of an agent class, over its events alone. */
import { type ClassMode, CRITERIA_DEFAULT, type ModeOrder } from '#contracts/mode.ts';

/** The class after an event. A mode that stays, with another canary or other criteria, goes on since it began. */
export function modeAfter(before: ClassMode | null, order: ModeOrder, at: number): ClassMode {
  const { measured: _measured, criteria, ...value } = order;
  return {
    ...value,
    criteria: criteria ?? before?.criteria ?? CRITERIA_DEFAULT,
    since: before?.mode === order.mode ? before.since : at,
  };
}

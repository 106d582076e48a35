// Differences of texts, as `diff -u` shows them.

import { diff } from 'node:util';

const AROUND = 3;

/** One line of output: what stands before it in a unified diff, and the line itself. */
export type DiffLine = readonly [sign: '+' | '-' | ' ' | '@', line: string];

/** Lines that differ with some around them; empty when the texts are equal. */
export function diffLines(before: string, after: string): DiffLine[] {
  const entries = diff(before.split('\n'), after.split('\n'));
  const changed = entries.flatMap(([operation], at) => (operation === 0 ? [] : [at]));
  const lines: DiffLine[] = [];
  let shown = -1;
  for (const [at, [operation, line]] of entries.entries()) {
    if (!changed.some((place) => Math.abs(place - at) <= AROUND)) continue;
    if (shown >= 0 && at > shown + 1) lines.push(['@', '...']);
    // `diff` calls a line that only its second argument has an insertion of the first.
    lines.push([operation === 0 ? ' ' : operation === 1 ? '-' : '+', line]);
    shown = at;
  }
  return lines;
}

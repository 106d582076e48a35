// The life of a kill switch as a table: who engaged and released it, in which order, and what stands then.

import { expect, test } from 'vitest';

import type { Switch } from '#contracts/stop.ts';

import { switchAfter } from '../../../services/admin/switch-state.ts';

type Step = readonly [action: 'engage' | 'release', by: string];

const engaged = (release: Switch['release'] = null): Switch => ({
  scope: 'tool',
  id: 't',
  by: 'ada',
  reason: 'ada engages',
  at: 0,
  release,
});
const wanted = (by: string, at: number) => ({ by, reason: `${by} releases`, at });

const CASES: readonly (readonly [name: string, steps: readonly Step[], state: Switch | null])[] = [
  ['one person engages it', [['engage', 'ada']], engaged()],
  [
    'engaging it again keeps the first',
    [
      ['engage', 'ada'],
      ['engage', 'olga'],
    ],
    engaged(),
  ],
  [
    'the first release is only a wish',
    [
      ['engage', 'ada'],
      ['release', 'ada'],
    ],
    engaged(wanted('ada', 1)),
  ],
  [
    'the same person twice, or ten times, is one person',
    [['engage', 'ada'], ['release', 'olga'], ...Array<Step>(10).fill(['release', 'olga'])],
    engaged(wanted('olga', 1)),
  ],
  [
    'two persons release it',
    [
      ['engage', 'ada'],
      ['release', 'olga'],
      ['release', 'ada'],
    ],
    null,
  ],
  [
    'somebody who wants it to stay withdraws the first release',
    [
      ['engage', 'ada'],
      ['release', 'olga'],
      ['engage', 'tom'],
      ['release', 'ada'],
    ],
    engaged(wanted('ada', 3)),
  ],
  ['releasing what is not engaged engages nothing', [['release', 'ada']], null],
  [
    'a release that was asked before does not count for the next time',
    [
      ['engage', 'olga'],
      ['release', 'ada'],
      ['release', 'tom'],
      ['release', 'olga'],
    ],
    null,
  ],
];

test.each(CASES)('%s', (_, steps, expected) => {
  let state: Switch | null = null;
  for (const [at, [action, by]] of steps.entries()) {
    const value = { scope: 'tool', id: 't', by, reason: `${by} ${action}s` } as const;
    state = switchAfter(state, { action, value }, at);
  }
  expect(state).toEqual(expected);
});

// What a message says of a held call at each step.

import { expect, it } from 'vitest';

import type { ApprovalEventValue } from '#contracts/approval.ts';
import type { ApprovalEvent } from '#contracts/subjects.ts';

import { standing } from '../../../services/notifier/words.ts';

const value = (votes: number, reason = ''): ApprovalEventValue =>
  ({ progress: { stage: 'one', votes, needed: 2 }, reason, tier: null }) as never; // the rest is not said here

type Given = readonly [ApprovalEvent, string, ApprovalEventValue];
const SYSTEM = 'system:approval-escalation';

const CASES: readonly (readonly [string, Given, string])[] = [
  ['a person says yes', ['approved', 'grace', value(2)], 'Approved by grace'],
  [
    'nobody answers',
    ['expired', SYSTEM, value(1, 'nobody answered in time')],
    'Expired: nobody answered in time',
  ],
  [
    'people said yes, and it was not sent again',
    ['expired', SYSTEM, value(2, 'not used in time')],
    'Approved; not used in time',
  ],
  ['another policy', ['superseded', SYSTEM, value(0)], 'Ended: another policy became active'],
  ['one of two', ['voted', 'ada', value(1)], 'Waiting for a person; 1 of 2 approvals'],
];

it.each(CASES)('%s', (_, [event, by, of], expected) => {
  expect(standing(event, by, of)).toBe(expected);
});

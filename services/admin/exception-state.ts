/** The life of an exception, over its events alone: put by one person, reviewed by another, ended by anybody. */
import type { Change } from '#contracts/change.ts';
import type { Exception } from '#contracts/exception.ts';

type ExceptionChange = Extract<Change, { kind: 'exception' }>;

/** The exception after an event; null = there is none. One that is put anew is reviewed anew. */
export function exceptionAfter(
  before: Exception | null,
  change: ExceptionChange,
  at: number,
): Exception | null {
  switch (change.action) {
    case 'put':
      return { ...change.value, at, review: null };
    case 'review': {
      const { by } = change.value;
      return before === null || before.by === by ? before : { ...before, review: { by, at } };
    }
    case 'end':
      return null;
  }
}

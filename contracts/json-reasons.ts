/** The reason that a document of a caller is refused with, by what the strict parser found. */
import type { MalformedJsonCode } from './json.ts';
import type { Reason } from './reasons.ts';

export const JSON_REASONS = {
  too_large: 'request.too_large',
  invalid_utf8: 'request.encoding',
  byte_order_mark: 'request.encoding',
  syntax: 'request.syntax',
  too_deep: 'request.depth',
  too_many_members: 'request.members',
  duplicate_key: 'request.duplicate_key',
  forbidden_key: 'request.forbidden_key',
  lone_surrogate: 'request.surrogate',
  number_not_finite: 'request.number',
  integer_out_of_range: 'request.number',
} as const satisfies Record<MalformedJsonCode, Reason>;

/** The part of the admin API that says what of payloads is shown and exported. */
import { Type } from 'typebox';

import type { Operation } from './admin-api.ts';
import { Changed, item } from './admin-bodies.ts';
import { DecisionIdSchema } from './ids.ts';
import { Redaction } from './redaction.ts';

/** Rules, and what they would show. */
export const REDACTION_OPERATIONS = {
  getRedaction: {
    method: 'GET',
    path: '/v1/tenants/{tenant}/redaction',
    role: 'viewer',
    status: 200,
    summary: 'What of payloads is shown and exported; without any rule every value is masked.',
    query: [],
    body: undefined,
    answer: item(Redaction),
  },
  putRedaction: {
    method: 'PUT',
    path: '/v1/tenants/{tenant}/redaction',
    role: 'admin',
    status: 200,
    summary:
      'Set all rules. The first that fits a value decides; secrets are masked whatever a rule says.',
    query: [],
    body: Redaction,
    answer: Changed,
  },
  previewRedaction: {
    method: 'POST',
    path: '/v1/tenants/{tenant}/redaction/preview',
    role: 'operator',
    status: 200,
    summary:
      'A recorded decision as these rules would show it. A read of its payload, so an event in the chain.',
    query: [],
    body: Type.Object(
      { decision_id: DecisionIdSchema, ...Redaction.properties },
      { additionalProperties: false },
    ),
    answer: Type.Object({
      masked: Type.Array(Type.String(), { description: 'Sections in which anything is masked.' }),
      sections: Type.Record(Type.String(), Type.Unknown()),
    }),
  },
} as const satisfies Readonly<Record<string, Operation>>;

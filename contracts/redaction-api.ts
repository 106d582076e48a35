/** The part of the admin API that says what of payloads is shown and exported. */
import { Type } from 'typebox';

import { item } from './admin-bodies.ts';
import { DecisionIdSchema } from './ids.ts';
import { get, type Operation, post, put, TENANT } from './operation.ts';
import { Redaction } from './redaction.ts';

/** Rules, and what they would show. */
export const REDACTION_OPERATIONS = {
  getRedaction: get(
    `${TENANT}/redaction`,
    'What of payloads is shown and exported; without any rule every value is masked.',
    item(Redaction),
  ),
  putRedaction: put(
    `${TENANT}/redaction`,
    'admin',
    'Set all rules. The first that fits a value decides; secrets are masked whatever a rule says.',
    Redaction,
  ),
  previewRedaction: post(
    `${TENANT}/redaction/preview`,
    'A recorded decision as these rules would show it. A read of its payload, so an event in the chain.',
    {
      body: Type.Object(
        { decision_id: DecisionIdSchema, ...Redaction.properties },
        { additionalProperties: false },
      ),
      answer: Type.Object({
        masked: Type.Array(Type.String(), { description: 'Sections in which anything is masked.' }),
        sections: Type.Record(Type.String(), Type.Unknown()),
      }),
    },
    { status: 200 },
  ),
} as const satisfies Readonly<Record<string, Operation>>;

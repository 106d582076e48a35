/** The part of the admin API that an auditor's export comes from. Its lines: export.ts. */
import { Type } from 'typebox';

import { type Operation, TENANT } from './operation.ts';

export const EXPORT_OPERATIONS = {
  exportAudit: {
    method: 'GET',
    path: `${TENANT}/audit/export`,
    status: 200,
    role: 'viewer',
    summary:
      'Rows of the chain with what proves them, one JSON document a line: a header, the rows, an end. Nothing is capped. ' +
      'Without filters every row up to the newest witnessed head; `from` and `to` (RFC 3339) give a gapless part, ' +
      '`agent` and `verdict` a selection with a proof for each row. `payloads=true` adds the payloads, masked by the rules ' +
      'of the tenant, and takes the role "operator"; `plain=true` with a reason in `why` gives them as recorded. `size` names the checkpoint and `after` the row from which a broken export goes on; `since` is the size ' +
      'of an older checkpoint whose continuation is to be proved. Each export is an event in the chain.',
    query: ['from', 'to', 'agent', 'verdict', 'payloads', 'plain', 'size', 'after', 'since', 'why'],
    body: undefined,
    answer: Type.Unsafe<Response>({ type: 'string' }),
    media: 'application/x-ndjson',
  },
} as const satisfies Readonly<Record<string, Operation>>;

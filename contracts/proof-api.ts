/** The part of the admin API that proves: a tenant's own records, and the log as a whole for those who see all tenants. */
import { Type } from 'typebox';

import { type Operation, TENANT } from './operation.ts';

const read = { method: 'GET', status: 200, body: undefined } as const;
const text = { answer: Type.Unsafe<Response>({ type: 'string' }), media: 'text/plain' } as const;

/** What concerns the log as a whole takes an operator of all tenants: its size tells how much all of them do. */
const wholeLog = { role: 'operator', platformRole: 'operator' } as const;

/** Operations of proofs. */
export const PROOF_OPERATIONS = {
  getProof: {
    ...read,
    ...text,
    path: `${TENANT}/audit/{decision}/proof`,
    role: 'viewer',
    summary:
      'The proof that the record of a decision stands under a witnessed checkpoint (C2SP tlog-proof, at most 4 KiB). ' +
      '409 audit.not_sealed for the moment before.',
    query: [],
  },
  getCheckpoint: {
    ...read,
    ...text,
    ...wholeLog,
    path: '/v1/log/checkpoint',
    summary: 'The newest witnessed checkpoint with its cosignatures (C2SP tlog-checkpoint).',
    query: [],
  },
  getConsistency: {
    ...read,
    ...wholeLog,
    path: '/v1/log/consistency',
    summary: 'The proof that the tree of size `to` continues that of size `from` (RFC 6962).',
    query: ['from', 'to'],
    answer: Type.Object({
      from: Type.Integer({ minimum: 0 }),
      to: Type.Integer({ minimum: 0 }),
      proof: Type.Array(Type.String({ description: 'Base64 of 32 bytes.' })),
    }),
  },
} as const satisfies Readonly<Record<string, Operation>>;

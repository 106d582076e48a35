/** The admin API's part about rollout modes and exceptions (mode.ts, exception.ts). */
import { Type, type Static } from 'typebox';

import type { Operation } from './admin-api.ts';
import { Changed, item, list } from './admin-bodies.ts';
import { Exception, ExceptionRequest } from './exception.ts';
import { RevisionSchema } from './ids.ts';
import { ClassMode, Criterion, Mode, ModeMeasured, ModeRequest } from './mode.ts';
import { StopReason } from './stop.ts';

const closed = { additionalProperties: false } as const;
const TENANT = '/v1/tenants/{tenant}';

const Way = {
  criteria: Type.Array(Criterion),
  unmet: Type.Array(Type.String({ description: 'What is not met, in words.' })),
};

/** How far a class is. `next`: the stricter modes; `leave`: the way to a looser one, null = only by an override. */
export const ModeStatus = Type.Object({
  revision: RevisionSchema,
  class: Type.String(),
  agents: Type.Integer({ description: 'Registered agents of this class.' }),
  value: ClassMode,
  measured: ModeMeasured,
  next: Type.Array(Type.Object({ mode: Mode, ...Way })),
  leave: Type.Union([Type.Object(Way), Type.Null()]),
});
export type ModeStatus = Static<typeof ModeStatus>;

const read = { method: 'GET', role: 'viewer', status: 200, query: [], body: undefined } as const;
const step = { method: 'POST', role: 'operator', status: 200, query: [], answer: Changed } as const;

export const ROLLOUT_OPERATIONS = {
  listModes: {
    ...read,
    path: `${TENANT}/modes`,
    summary: 'Agent classes that have a mode. All others are enforced.',
    answer: list(ClassMode),
  },
  getMode: {
    ...read,
    path: `${TENANT}/modes/{class}`,
    summary: 'The mode of a class, what the chain says of it, and what other modes wait for.',
    answer: ModeStatus,
  },
  putMode: {
    method: 'PUT',
    path: `${TENANT}/modes/{class}`,
    role: 'admin',
    summary: 'Change the mode of a class: it takes its criteria, or a recorded override.',
    status: 200,
    query: [],
    body: ModeRequest,
    answer: Changed,
  },
  listExceptions: {
    ...read,
    path: `${TENANT}/exceptions`,
    summary: 'Exceptions that were not ended, also those that expired.',
    answer: list(Exception),
  },
  getException: {
    ...read,
    path: `${TENANT}/exceptions/{id}`,
    summary: 'One exception.',
    answer: item(Exception),
  },
  putException: {
    method: 'PUT',
    path: `${TENANT}/exceptions/{id}`,
    role: 'admin',
    summary: 'Lift one reason for an agent, a class or a tool, until a day. It is reviewed anew.',
    status: 200,
    query: [],
    body: ExceptionRequest,
    answer: Changed,
  },
  reviewException: {
    ...step,
    path: `${TENANT}/exceptions/{id}/review`,
    summary: 'Say that you looked at an exception that another person made, and that it may stand.',
    body: undefined,
  },
  endException: {
    ...step,
    path: `${TENANT}/exceptions/{id}/end`,
    summary: 'End an exception.',
    body: Type.Object({ reason: StopReason }, closed),
  },
} as const satisfies Readonly<Record<string, Operation>>;

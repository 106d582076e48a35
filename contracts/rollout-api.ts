/** The admin API's part about rollout modes and exceptions (mode.ts, exception.ts). */
import { Type, type Static } from 'typebox';

import { Changed, item, list } from './admin-bodies.ts';
import { Exception, ExceptionRequest } from './exception.ts';
import { RevisionSchema } from './ids.ts';
import { ClassMode, Criterion, Mode, ModeMeasured, ModeRequest } from './mode.ts';
import { get, type Operation, post, put, TENANT } from './operation.ts';
import { StopReason } from './stop.ts';

const closed = { additionalProperties: false } as const;

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

const step = <Body extends Operation['body']>(path: string, summary: string, body: Body) =>
  post(path, summary, { body, answer: Changed }, { status: 200 });

export const ROLLOUT_OPERATIONS = {
  listModes: get(
    `${TENANT}/modes`,
    'Agent classes that have a mode. All others are enforced.',
    list(ClassMode),
  ),
  getMode: get(
    `${TENANT}/modes/{class}`,
    'The mode of a class, what the chain says of it, and what other modes wait for.',
    ModeStatus,
  ),
  putMode: put(
    `${TENANT}/modes/{class}`,
    'admin',
    'Change the mode of a class: it takes its criteria, or a recorded override.',
    ModeRequest,
  ),
  listExceptions: get(
    `${TENANT}/exceptions`,
    'Exceptions that were not ended, also those that expired.',
    list(Exception),
  ),
  getException: get(`${TENANT}/exceptions/{id}`, 'One exception.', item(Exception)),
  putException: put(
    `${TENANT}/exceptions/{id}`,
    'admin',
    'Lift one reason for an agent, a class or a tool, until a day. It is reviewed anew.',
    ExceptionRequest,
  ),
  reviewException: step(
    `${TENANT}/exceptions/{id}/review`,
    'Say that you looked at an exception that another person made, and that it may stand.',
    undefined,
  ),
  endException: step(
    `${TENANT}/exceptions/{id}/end`,
    'End an exception.',
    Type.Object({ reason: StopReason }, closed),
  ),
} as const satisfies Readonly<Record<string, Operation>>;

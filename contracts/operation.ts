/**
 * One operation of the admin API: its place, the role it takes, and the shapes of request and answer. The tables of
 * them (admin-api.ts, *-api.ts) are data; routes, checks, the OpenAPI document and the command line are made from it.
 */
import { type Static, type TSchema, Type } from 'typebox';

import { Changed } from './admin-bodies.ts';
import { UpstreamName } from './call.ts';
import { AgentId, Digest, type Role, ThingId } from './control.ts';
import { ApprovalIdSchema, DecisionIdSchema } from './ids.ts';
import { AgentClass } from './mode.ts';

/** What routes, documents and callers know of it. */
export interface Operation {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  /** As OpenAPI writes it. A last `{key}` takes the rest of the path. */
  readonly path: string;
  /** The least role that may do it; tenant `_platform` takes `platformRole` for a change. */
  readonly role: Role;
  /** Default: admin. */
  readonly platformRole?: Role;
  readonly summary: string;
  readonly status: 200 | 201;
  readonly query: readonly string[];
  /** Undefined = no body. */
  readonly body: TSchema | undefined;
  readonly answer: TSchema;
  /** A body that is no JSON, by content type; `body` does not apply to it. */
  readonly archives?: readonly string[];
  /** Content type of the answer where it is not application/json. */
  readonly media?: string;
}

type Extra = Partial<Pick<Operation, 'status' | 'query'>>;
/** A read for everybody who may see the tenant. */
export const get = <T extends TSchema>(
  path: string,
  summary: string,
  answer: T,
  query: readonly string[] = [],
) =>
  ({
    method: 'GET',
    path,
    summary,
    answer,
    role: 'viewer',
    status: 200,
    query,
    body: undefined,
  }) as const;
/** Sets a thing to the body. */
export const put = <B extends TSchema>(path: string, role: Role, summary: string, body: B) =>
  ({ method: 'PUT', path, role, summary, body, answer: Changed, status: 200, query: [] }) as const;
/** Takes a thing away. */
export const remove = (path: string, role: Role, summary: string) =>
  ({
    method: 'DELETE',
    path,
    role,
    summary,
    body: undefined,
    answer: Changed,
    status: 200,
    query: [],
  }) as const;
/** Makes or does something, as an operator. */
export const post = <B extends TSchema | undefined, A extends TSchema>(
  path: string,
  summary: string,
  { body, answer }: { readonly body: B; readonly answer: A },
  { status = 201, query = [] }: Extra = {},
) => ({ method: 'POST', path, role: 'operator', summary, body, answer, status, query }) as const;

/** Where everything of one tenant stands. */
export const TENANT = '/v1/tenants/{tenant}';

/** Names of path parameters in order. */
export const parametersOf = (path: string): string[] =>
  [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter ?? '');

/** What a parameter of a path may be; `tenant` and `key` have rules of their own. */
export const PATH_PARAMETERS = {
  id: ThingId,
  name: UpstreamName,
  digest: Digest,
  agent: AgentId,
  class: AgentClass,
  decision: DecisionIdSchema,
  approval: ApprovalIdSchema,
} as const;

const count = (description: string) => Type.Integer({ minimum: 0, description });
const flag = (description: string) => Type.Boolean({ default: false, description });

/** What a parameter of a query is, where it is the same for all operations; the others are text. */
export const QUERY_PARAMETERS: Readonly<Record<string, TSchema>> = {
  before: count('Gives what stands before this place.'),
  check: flag('Instead of payloads, says of each whether it is as recorded.'),
  cursor: Type.String({ description: 'Of an answer: gives the page after it.' }),
  decision_id: DecisionIdSchema,
  last: count('How many rows from the newest on.'),
  limit: Type.Integer({ minimum: 1, description: 'At most so many.' }),
  payloads: flag('With payloads.'),
  plain: flag('Payloads as recorded, without masks; takes a reason.'),
  size: count('Of the tree.'),
  why: Type.String({ description: 'The reason for looking; recorded.' }),
};

/** What an operation takes in its body. */
export type BodyOf<O extends Operation> = O['body'] extends TSchema ? Static<O['body']> : undefined;
/** What an operation answers. */
export type AnswerOf<O extends Operation> = Static<O['answer']>;

/** The OpenAPI 3.1 document of the ingress, made of the schemas that it checks by. MCP describes itself and is not in it. */
import {
  AuthzenConfiguration,
  Evaluation,
  EvaluationAnswer,
  Evaluations,
  EvaluationsAnswer,
} from './authzen.ts';
import {
  DecisionAnswer,
  DecisionRequest,
  HELD_WAIT_S_MAX,
  HeldAnswer,
  Me,
  OutcomeAnswer,
  Refusal,
} from './http.ts';
import { UUID7_PATTERN } from './ids.ts';
import { OutcomeReport } from './outcome.ts';
import { published } from './published-schema.ts';
import { REASONS, type Reason, reasonSpec } from './reasons.ts';
import { RECEIPT_KEYS_PATH, ReceiptJwks } from './receipt-key.ts';

const JSON_TYPE = 'application/json';
const body = (schema: unknown) => ({ content: { [JSON_TYPE]: { schema } } });
const answer = (description: string, schema: unknown) => ({ description, ...body(schema) });
const refusal = { $ref: '#/components/schemas/Refusal' };

const MEANING: Readonly<Record<number, string>> = {
  400: 'The request is malformed; its reason says how.',
  401: 'There is no valid agent identity.',
  403: 'The origin may not call here.',
  404: 'There is nothing here, or the ref belongs to no decision of this asker.',
  408: 'The request did not arrive in time.',
  409: 'Another outcome was reported before.',
  413: 'The request or its record is too large.',
  415: 'The content type is not application/json.',
  429: 'Too many calls of this tenant, agent or source address.',
  500: 'The service failed; nothing was allowed.',
  503: 'Nothing could be judged or recorded now; nothing was allowed.',
};

/** Refusals by status; each lists the codes of the reasons that have it. */
function refusals(statuses: readonly number[]): Record<string, unknown> {
  return Object.fromEntries(
    statuses.map((status) => {
      const codes = (Object.keys(REASONS) as Reason[]).filter(
        (code) => reasonSpec(code).status === status,
      );
      const description = `${MEANING[status] ?? ''} Codes: ${codes.join(', ')}.`;
      return [status, { ...answer(description, refusal), headers: HEADERS[status] ?? {} }];
    }),
  );
}

const text = { schema: { type: 'string' } };
const HEADERS: Readonly<Record<number, unknown>> = {
  401: { 'WWW-Authenticate': text },
  429: { 'Retry-After': text },
  503: { 'Retry-After': text },
};

const COMMON = [400, 401, 403, 408, 413, 415, 429, 500, 503];
const capability = {
  name: 'Countersign-Capability',
  in: 'header',
  description: 'The capability of the agent; without it a standing grant of the agent counts.',
  schema: { type: 'string' },
};
const requestId = { name: 'X-Request-ID', in: 'header', schema: { type: 'string' } };

const decide = {
  operationId: 'decide',
  summary: 'Asks whether a tool call may run.',
  description: 'Answers after the decision is recorded. 200 means judged: read the verdict.',
  parameters: [capability, requestId],
  requestBody: { required: true, ...body(DecisionRequest) },
  responses: { 200: answer('The call was judged.', DecisionAnswer), ...refusals(COMMON) },
};

const report = {
  operationId: 'reportOutcome',
  summary: 'Reports what became of an allowed call.',
  parameters: [
    {
      name: 'id',
      in: 'path',
      required: true,
      schema: { type: 'string', pattern: UUID7_PATTERN },
    },
    requestId,
  ],
  requestBody: { required: true, ...body(OutcomeReport) },
  responses: {
    200: answer('The outcome is recorded, now or before.', OutcomeAnswer),
    ...refusals([...COMMON, 404, 409]),
  },
};

const held = {
  parameters: [
    { name: 'handle', in: 'path', required: true, schema: { type: 'string' } },
    requestId,
  ],
  responses: { 200: answer('What became of it.', HeldAnswer), ...refusals([...COMMON, 404]) },
};

const askHeld = {
  operationId: 'askHeldCall',
  summary: 'Says what became of a held call, and waits a while for it.',
  description: 'A wait that ends says nothing about the call: ask again.',
  ...held,
  parameters: [
    ...held.parameters,
    {
      name: 'wait',
      in: 'query',
      description: 'Seconds to wait at most while it is pending.',
      schema: { type: 'integer', minimum: 0, maximum: HELD_WAIT_S_MAX, default: 0 },
    },
  ],
};

const withdrawHeld = {
  operationId: 'withdrawHeldCall',
  summary: 'Withdraws a held call: nobody is asked any more, and it does not run.',
  ...held,
};

const evaluate = {
  operationId: 'evaluate',
  summary: 'AuthZEN access evaluation.',
  parameters: [capability, requestId],
  requestBody: { required: true, ...body(Evaluation) },
  responses: { 200: answer('Judged.', EvaluationAnswer), ...refusals(COMMON) },
};

const evaluateAll = {
  operationId: 'evaluateAll',
  summary: 'AuthZEN access evaluations; without any it answers as a single one.',
  parameters: [capability, requestId],
  requestBody: { required: true, ...body(Evaluations) },
  responses: {
    200: answer('Judged.', { oneOf: [EvaluationsAnswer, EvaluationAnswer] }),
    ...refusals(COMMON),
  },
};

const discover = {
  operationId: 'authzenConfiguration',
  summary: 'AuthZEN metadata of this decision point.',
  security: [],
  responses: { 200: answer('The endpoints.', AuthzenConfiguration) },
};

const me = {
  operationId: 'me',
  summary: 'Tells the caller who it is here, what it may call, and why a tool is hidden.',
  description: 'Nothing is judged or recorded, and it is no answer to any call.',
  parameters: [capability, requestId],
  responses: { 200: answer('About the caller.', Me), ...refusals(COMMON) },
};

const receiptKeys = {
  operationId: 'receiptKeys',
  summary: 'Public keys of receipts (JSON Web Key Set).',
  security: [],
  responses: { 200: answer('The keys in use.', ReceiptJwks) },
};

/** Text of contracts/generated/openapi.json. */
export function openapi(): string {
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'Countersign ingress',
      version: '1',
      description:
        'Decides, before a tool call of an AI agent runs, whether it may run. Request bodies are strict I-JSON.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ identity: [] }],
    paths: {
      '/v1/decisions': { post: decide },
      '/v1/decisions/{id}/outcome': { post: report },
      '/v1/approvals/{handle}': { get: askHeld, delete: withdrawHeld },
      '/v1/me': { get: me },
      '/access/v1/evaluation': { post: evaluate },
      '/access/v1/evaluations': { post: evaluateAll },
      '/.well-known/authzen-configuration': { get: discover },
      [RECEIPT_KEYS_PATH]: { get: receiptKeys },
    },
    components: {
      securitySchemes: {
        identity: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'The identity token of the agent, signed by a registered issuer.',
        },
      },
      schemas: { Refusal },
    },
  };
  return `${JSON.stringify(published(document), undefined, 2)}\n`;
}

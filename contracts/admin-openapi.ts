/** The OpenAPI 3.1 document of the admin API, made from its tables of operations. */
import type { TSchema } from 'typebox';

import { ADMIN_TABLES } from './admin-api.ts';
import { ADMIN_ERRORS, AdminErrorBody } from './admin-errors.ts';
import { TENANT_PATTERN } from './ids.ts';
import { type Operation, parametersOf, PATH_PARAMETERS, QUERY_PARAMETERS } from './operation.ts';
import { published } from './published-schema.ts';

/** Text of contracts/generated/admin-openapi.json. */
export function adminOpenApi(): string {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const table of ADMIN_TABLES) {
    for (const [name, operation] of Object.entries(table)) {
      const place = (paths[operation.path] ??= {});
      place[operation.method.toLowerCase()] = operationObject(name, operation);
    }
  }
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'Countersign admin API',
      version: '1',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description:
        "For operators. Every change is an event in the tenant's chain and is answered with the revision that a call " +
        `can demand as min_revision. Stable error codes: ${Object.keys(ADMIN_ERRORS).join(', ')}.`,
    },
    servers: [{ url: '/' }],
    security: [{ operator: [] }],
    paths,
    components: {
      securitySchemes: { operator: { type: 'http', scheme: 'bearer' } },
      responses: {
        Error: {
          description: 'Not carried out. `error.code` is stable.',
          content: json(AdminErrorBody),
        },
      },
    },
  };
  return `${JSON.stringify(published(document), null, 2)}\n`;
}

const json = (schema: TSchema) => ({ 'application/json': { schema } });

function operationObject(name: string, operation: Operation): object {
  const { role, summary, path, query, body, archives = [], status, answer, media } = operation;
  const parameters = [
    ...parametersOf(path).map((parameter) => ({
      name: parameter,
      in: 'path',
      required: true,
      schema: parameterSchema(parameter),
    })),
    ...query.map((parameter) => ({
      name: parameter,
      in: 'query',
      schema: QUERY_PARAMETERS[parameter] ?? { type: 'string' },
    })),
    ...(operation.method === 'GET' ? [] : [REASON]),
  ];
  const binary = archives.map((type) => [type, BINARY] as const);
  const content = body === undefined ? undefined : { ...json(body), ...Object.fromEntries(binary) };
  return {
    operationId: name,
    summary,
    description: `Takes the role "${role}"${role === 'admin' ? '' : ' or one that includes it'}.`,
    parameters,
    ...(content === undefined ? {} : { requestBody: { required: true, content } }),
    responses: {
      [status]: {
        description: 'Done.',
        content: media === undefined ? json(answer) : { [media]: { schema: answer } },
      },
      default: { $ref: '#/components/responses/Error' },
    },
  };
}

/** A body that is no text, in the form that generators know. */
const BINARY = { schema: { type: 'string', format: 'binary' } };

const REASON = {
  name: 'Countersign-Reason',
  in: 'header',
  description: 'Why; recorded with the change.',
  schema: { type: 'string', maxLength: 1_000 },
};

function parameterSchema(name: string): object {
  if (name === 'tenant') {
    return { type: 'string', pattern: TENANT_PATTERN, description: 'Or _platform.' };
  }
  if (name === 'key') {
    return {
      type: 'string',
      description: 'Segments with "/" between them; "/" in a segment is %2F.',
    };
  }
  return Object.hasOwn(PATH_PARAMETERS, name)
    ? PATH_PARAMETERS[name as keyof typeof PATH_PARAMETERS]
    : { type: 'string' };
}

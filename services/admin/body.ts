/** Bodies of requests: strict JSON against the operation's schema, each fault with its place; or an archive. */
import type { FastifyRequest } from 'fastify';
import { Compile, type Validator } from 'typebox/compile';

import type { AdminErrorCode } from '#contracts/admin-errors.ts';
import { JSON_REASONS } from '#contracts/json-reasons.ts';
import { JSON_LIMITS, type Json, MalformedJson, parseStrict } from '#contracts/json.ts';
import type { Operation } from '#contracts/operation.ts';

import { AdminError } from './errors.ts';

export const BODY_BYTES_MAX = 2 * 1024 * 1024;
const LIMITS = { ...JSON_LIMITS, bytes: BODY_BYTES_MAX };

/** The body of a request: a value of the operation's schema, or an archive. */
export interface Body {
  readonly body: unknown;
  readonly archive: Uint8Array | undefined;
}

/** A reader for the bodies of one operation. @throws AdminError request.* from each call */
export function bodyReader({
  body: schema,
  archives = [],
}: Operation): (request: FastifyRequest) => Body {
  const check = schema === undefined ? undefined : Compile(schema);
  return (request) => {
    const type = mediaType(request);
    const bytes = request.body instanceof Uint8Array ? request.body : new Uint8Array();
    if (archives.includes(type)) return { body: undefined, archive: bytes };
    if (bytes.length > 0 && type !== 'application/json' && !type.endsWith('+json')) {
      throw new AdminError('request.content_type');
    }
    if (check === undefined) return { body: nothing(bytes), archive: undefined };
    const body = parse(bytes);
    const fault = firstFault(check, body);
    if (fault === undefined) return { body, archive: undefined };
    throw new AdminError('request.schema', fault.message, { path: fault.path });
  };
}

const mediaType = (request: FastifyRequest): string =>
  (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

/** untrusted: the bytes of a body. */
function parse(bytes: Uint8Array): Json {
  try {
    return parseStrict(bytes, LIMITS);
  } catch (error) {
    if (!(error instanceof MalformedJson)) throw error;
    const code: AdminErrorCode = JSON_REASONS[error.code];
    throw new AdminError(code, '', { extra: { offset: error.offset }, cause: error });
  }
}

/** An operation without a body takes an empty object too: many clients send one. */
function nothing(bytes: Uint8Array): undefined {
  if (bytes.length === 0 || /^\s*\{\s*\}\s*$/.test(new TextDecoder().decode(bytes)))
    return undefined;
  throw new AdminError('request.schema', 'This operation takes no body.');
}

export interface Fault {
  /** JSON pointer. */
  readonly path: string;
  readonly message: string;
}

/** The fault that says most: a member that nobody knows, else the first. The value itself is never repeated. */
export function firstFault(check: Validator, value: unknown): Fault | undefined {
  if (check.Check(value)) return undefined;
  const faults = check.Errors(value);
  // "schema is false" is how the compiler says that a member is not allowed; its path names the member.
  const unknown = faults.find(({ keyword }) => keyword === 'boolean');
  if (unknown !== undefined)
    return { path: unknown.instancePath, message: 'This member is not known.' };
  const [first] = faults;
  if (first === undefined) return { path: '', message: 'The body has another shape.' };
  const allowed = faults.flatMap(({ keyword, instancePath, params }) =>
    keyword === 'const' && instancePath === first.instancePath ? [String(params.allowedValue)] : [],
  );
  const message = allowed.length > 1 ? `must be one of ${allowed.join(', ')}` : first.message;
  return { path: first.instancePath, message: `The value ${message}.` };
}

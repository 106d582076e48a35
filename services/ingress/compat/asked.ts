/** A request on IntentGate's route, and what its headers say of it. */
import type { FastifyReply, FastifyRequest } from 'fastify';

import { TOKEN_CHARS_MAX } from '#contracts/call.ts';

import type { Exchange } from '../mcp/exchange.ts';
import type { Upstreams } from '../mcp/upstream.ts';
import type { Call, Caller } from '../routes.ts';
import { CODES, CompatFault, type Envelope } from './envelope.ts';

export type Shared = Pick<Exchange, 'parts' | 'unresumed' | 'stopping'> & {
  readonly upstreams: Upstreams;
};

/** A request whose envelope was read. */
export interface Asked extends Shared {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly envelope: Envelope;
  readonly since: number;
}

/** Who asks, by the capability that it sends as bearer. @throws CompatFault, Refused */
export function callerOf({ parts, request }: Asked): Caller {
  const { authorization = '', 'x-intentgate-obo': obo } = request.headers;
  const token = authorization.startsWith('Bearer ') ? authorization.slice(7).trim() : '';
  if (token === '' || token.length > TOKEN_CHARS_MAX) {
    throw new CompatFault(CODES.capability, 'capability check failed', 'missing capability token');
  }
  // To take no notice of it would leave the person out of decision and record.
  if (obo !== undefined) {
    const why = 'on-behalf-of tokens are not accepted here';
    throw new CompatFault(CODES.capability, 'capability check failed', why);
  }
  return parts.admitCapability(request, token);
}

const PURPOSE_CHARS_MAX = 2_000;
const TASK_CHARS_MAX = 128;

/** The prompt as declared purpose, and the task. @throws CompatFault */
export function contextOf({ headers }: FastifyRequest): Pick<Call, 'intent' | 'task_id'> {
  const { 'x-intent-prompt': prompt = '', 'x-task-id': task = '' } = headers;
  if (typeof prompt !== 'string' || typeof task !== 'string' || task.length > TASK_CHARS_MAX) {
    throw new CompatFault(CODES.invalidRequest, 'a header is repeated or too long');
  }
  const purpose = headerText(prompt).slice(0, PURPOSE_CHARS_MAX).toWellFormed();
  return {
    ...(purpose === '' ? {} : { intent: { purpose } }),
    ...(task === '' ? {} : { task_id: task }),
  };
}

/** Node reads headers as Latin-1; most programs send UTF-8. */
function headerText(value: string): string {
  const bytes = Buffer.from(value, 'latin1');
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes) ? text : value;
}

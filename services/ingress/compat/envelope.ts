/** IntentGate's JSON-RPC envelope: every outcome is a 200, and every refusal one of its codes. */
import type { WorkerAnswer } from '#contracts/call.ts';
import type { Json, JsonObject } from '#contracts/json.ts';
import { publicReason, type Reason, reasonSpec } from '#contracts/reasons.ts';

import { isObject } from '../mcp/message.ts';

export const CODES = {
  parse: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  upstream: -32603,
  capability: -32010,
  intent: -32011,
  policy: -32012,
  budget: -32013,
  pending: -32019,
} as const;

/** Header by which its clients come back for a held call; ours need only the same call again. */
const RESUME_HEADER = 'X-IntentGate-Approval-Id';

/** A request that cannot be answered with a result. The message goes out and MUST NOT hold input. */
export class CompatFault extends Error {
  readonly code: number;
  readonly data: Json | undefined;

  constructor(code: number, message: string, data?: Json) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/** One request. */
export interface Envelope {
  /** Undefined: a notification, which is answered with nothing. */
  readonly id: Json | undefined;
  readonly method: string;
  readonly params: Json;
}

/** @throws CompatFault */
export function readEnvelope(body: Json): Envelope {
  if (!isObject(body)) throw invalid('the request is not an object');
  const { jsonrpc, method, id, params = {} } = body;
  if (jsonrpc !== '2.0') throw invalid('jsonrpc must be "2.0"');
  if (typeof method !== 'string' || method === '') throw invalid('method is required');
  return { id, method, params };
}

const invalid = (message: string): CompatFault => new CompatFault(CODES.invalidRequest, message);

/** Name and arguments of a call. @throws CompatFault */
export function readCall(params: Json): { readonly name: string; readonly args: JsonObject } {
  if (!isObject(params)) throw new CompatFault(CODES.invalidParams, 'invalid tools/call params');
  const { name, arguments: args = {} } = params;
  if (typeof name !== 'string' || name === '') {
    throw new CompatFault(CODES.invalidParams, 'params.name is required');
  }
  if (!isObject(args)) throw new CompatFault(CODES.invalidParams, 'invalid tools/call params');
  return { name, args };
}

export const resultText = (id: Json, result: JsonObject): string =>
  JSON.stringify({ jsonrpc: '2.0', id, result });

export const faultText = (id: Json, { code, message, data }: CompatFault): string =>
  JSON.stringify({
    jsonrpc: '2.0',
    id,
    error: { code, message, ...(data === undefined ? {} : { data }) },
  });

const BY_CHECK: Readonly<Record<string, readonly [code: number, message: string]>> = {
  identity: [CODES.capability, 'capability check failed'],
  capability: [CODES.capability, 'capability check failed'],
  intent: [CODES.intent, 'intent check failed'],
  policy: [CODES.policy, 'policy check failed'],
  budget: [CODES.budget, 'budget check failed'],
};

/** Words that its clients look for. */
const WORDS: Readonly<Record<string, string>> = {
  'capability.revoked': 'token revoked',
  'capability.killed': 'halted by kill switch',
  'call.killed': 'halted by kill switch',
  'capability.signature': 'signature mismatch',
  'identity.signature': 'signature mismatch',
  'capability.version': 'unknown token schema version',
};

/** The fault of a reason of the closed table; its code stands in the data. */
export function faultOfReason(code: Reason, said = ''): CompatFault {
  const { check } = reasonSpec(code);
  const known = BY_CHECK[check];
  const own = said === '' ? '' : ` (${said})`;
  const words = `${WORDS[code] ?? publicReason(code).message}${own} [${code}]`;
  if (known !== undefined) return new CompatFault(known[0], known[1], words);
  // A call that is malformed or unknown to us cannot be allowed by any policy either.
  if (check === 'request') return new CompatFault(CODES.policy, 'policy check failed', words);
  return new CompatFault(CODES.upstream, 'gateway unavailable', { detail: words });
}

/** The fault of a decision that is no allow. */
export function faultOfDecision({ body }: Extract<WorkerAnswer, { kind: 'decided' }>): CompatFault {
  if (body.verdict !== 'escalate') {
    return faultOfReason(body.reason.code as Reason, body.policy_reason);
  }
  return new CompatFault(CODES.pending, 'approval pending', {
    pending_id: body.approval_id ?? '',
    status: 'pending',
    resume_header: RESUME_HEADER,
  });
}

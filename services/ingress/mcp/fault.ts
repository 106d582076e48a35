/** What goes wrong before or beside a judgement, as a JSON-RPC error. A judged call is answered by result.ts. */
import type { FastifyReply } from 'fastify';

import { JSON_REASONS } from '#contracts/json-reasons.ts';
import type { Json, JsonObject } from '#contracts/json.ts';
import { publicReason, type Reason, reasonSpec } from '#contracts/reasons.ts';

import { sendJson } from '../http.ts';

/** Codes of JSON-RPC 2.0 and of MCP; -32010 is ours, from the range that is left to implementations. */
export const RPC = {
  parse: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  headerMismatch: -32020,
  urlElicitation: -32042,
  refused: -32010,
} as const;
export type RpcCode = (typeof RPC)[keyof typeof RPC];

const STATUS: Partial<Record<RpcCode, number>> = {
  [RPC.methodNotFound]: 404,
  [RPC.internal]: 500,
};

interface FaultOptions {
  readonly id?: string | number | null;
  /** HTTP status, where it is not the usual one of the code. */
  readonly status?: number;
  readonly data?: JsonObject;
  readonly reason?: Reason;
}

/** An answer in the form of a JSON-RPC error. The message goes out and MUST NOT hold input. */
export class Fault extends Error {
  readonly code: RpcCode;
  readonly status: number;
  readonly id: string | number | null;
  readonly data: JsonObject | undefined;
  /** Of the closed table; undefined for what only JSON-RPC has a word for. */
  readonly reason: Reason | undefined;

  constructor(code: RpcCode, message: string, options: FaultOptions = {}) {
    super(message);
    this.code = code;
    this.status = options.status ?? STATUS[code] ?? 400;
    this.id = options.id ?? null;
    this.data = options.data;
    this.reason = options.reason;
  }
}

/** The fault of a reason of the closed table. */
export function faultOf(reason: Reason, options: FaultOptions & { detail?: string } = {}): Fault {
  const plain = publicReason(reason);
  const { detail = '', ...rest } = options;
  const message = detail === '' ? plain.message : `${plain.message} ${detail}`;
  const status = rest.status ?? reasonSpec(reason).status;
  const data: JsonObject = { reason: { ...plain, message }, ...rest.data };
  return new Fault(codeOf(reason), message, { ...rest, status, data, reason });
}

/** Reasons for which a body is no message at all. */
const UNREADABLE: ReadonlySet<Reason> = new Set(Object.values(JSON_REASONS));

function codeOf(reason: Reason): RpcCode {
  if (reason === 'request.header_mismatch') return RPC.headerMismatch;
  if (UNREADABLE.has(reason)) return RPC.parse;
  const { check, status } = reasonSpec(reason);
  return check === 'request' && status >= 400 && status < 500 ? RPC.invalidRequest : RPC.refused;
}

/** Text of a JSON-RPC error. */
export const faultText = ({ id, code, message, data }: Fault): string =>
  JSON.stringify({
    jsonrpc: '2.0',
    id,
    error: { code, message, ...(data === undefined ? {} : { data }) },
  } satisfies { [name: string]: Json | object });

export const sendFault = (reply: FastifyReply, fault: Fault): FastifyReply =>
  sendJson(reply.code(fault.status), faultText(fault));

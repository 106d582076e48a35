/** JSON-RPC messages of MCP as they come in: which kind, which era, and what of `_meta` concerns us. */
import { CALL_ID_MAX } from '#contracts/call.ts';
import type { Json, JsonObject } from '#contracts/json.ts';
import { RECEIPT_META } from '#contracts/receipt.ts';

import { Fault, RPC } from './fault.ts';

/** 2026-07-28: stateless, every request says its version. 2025-11-25: everything before it, with sessions. */
export type Era = '2025-11-25' | '2026-07-28';

export type RequestId = string | number;

/** One message of a client. `body` is the whole message, `params` is empty where there are none. */
export type Message =
  | {
      readonly kind: 'request';
      readonly id: RequestId;
      readonly method: string;
      readonly params: JsonObject;
      readonly body: JsonObject;
    }
  | {
      readonly kind: 'notification';
      readonly method: string;
      readonly params: JsonObject;
      readonly body: JsonObject;
    }
  /** An answer to a request that the upstream sent within a stream. */
  | { readonly kind: 'response'; readonly body: JsonObject };

export type RequestMessage = Extract<Message, { kind: 'request' }>;

/** Extension by which calls become tasks that are asked for. */
export const TASKS_EXTENSION = 'io.modelcontextprotocol/tasks';

const VERSION_KEY = 'io.modelcontextprotocol/protocolVersion';
const CLIENT_KEY = 'io.modelcontextprotocol/clientInfo';
const CAPABILITIES_KEY = 'io.modelcontextprotocol/clientCapabilities';
/** Keys of ours in `_meta`; they never go upstream. */
const OWN_KEYS = 'countersign/';
const CALL_ID_KEY = 'countersign/call_id';
const MODERN = '2026-07-28';
const METHOD_CHARS_MAX = 128;
const ID_CHARS_MAX = 256;

/** @throws Fault for what is no single message of JSON-RPC 2.0; batches are none of MCP's any more */
export function readMessage(body: Json): Message {
  if (Array.isArray(body)) throw malformed('JSON-RPC batches are not accepted.');
  if (!isObject(body) || body['jsonrpc'] !== '2.0') throw malformed('Not a JSON-RPC 2.0 message.');
  const { id, method } = body;
  if (method === undefined) return readResponse(body);
  if (typeof method !== 'string' || method === '' || method.length > METHOD_CHARS_MAX) {
    throw malformed('The method is not a name.');
  }
  const params = body['params'] ?? {};
  if (!isObject(params)) throw malformed('The params are not an object.', idOf(body));
  if (id === undefined) return { kind: 'notification', method, params, body };
  if (!isId(id)) throw malformed('The id is neither a string nor an integer.');
  return { kind: 'request', id, method, params, body };
}

function readResponse(body: JsonObject): Message {
  const answers = Object.hasOwn(body, 'result') !== Object.hasOwn(body, 'error');
  if (!answers || !isId(body['id'])) throw malformed('Neither a request nor a response.');
  return { kind: 'response', body };
}

/** The id to answer with; null where a message has none that can be used. */
export function idOf(body: Json): RequestId | null {
  const id = isObject(body) ? body['id'] : undefined;
  return isId(id) ? id : null;
}

/** The version that a message claims for itself; '' when it claims none (the old era). */
export function claimedVersion({ params }: { readonly params: JsonObject }): string {
  const version = metaOf(params)[VERSION_KEY];
  return typeof version === 'string' ? version : '';
}

/** The era by the message's own claim; by the header only where a message carries no claim at all. */
export function eraOf(message: Message, header: string): Era {
  if (message.kind === 'response') return '2025-11-25';
  if (claimedVersion(message) !== '') return MODERN;
  return header === MODERN && message.method !== 'initialize' ? MODERN : '2025-11-25';
}

/** What the client of a message says of itself. */
export function clientInfoOf(message: Message): {
  readonly name: string;
  readonly version: string;
} {
  if (message.kind === 'response') return { name: '', version: '' };
  const { params } = message;
  const info = metaOf(params)[CLIENT_KEY] ?? params['clientInfo'];
  const text = (value: Json | undefined, max: number) =>
    typeof value === 'string' ? value.slice(0, max) : '';
  return isObject(info)
    ? { name: text(info['name'], 128), version: text(info['version'], 64) }
    : { name: '', version: '' };
}

/** The capabilities that a request of the new era declares. */
export function clientCapabilitiesOf(params: JsonObject): JsonObject {
  const declared = metaOf(params)[CAPABILITIES_KEY];
  return isObject(declared) ? declared : {};
}

/** The client opens pages for its person, by the capabilities that it declares. */
export function elicitsUrls(capabilities: Json | undefined): boolean {
  const elicitation = isObject(capabilities) ? capabilities['elicitation'] : undefined;
  return isObject(elicitation) && isObject(elicitation['url']);
}

/** The caller's own name of a call, which makes its repeat safe. @throws Fault */
export function callIdOf({ id, params }: RequestMessage): string | undefined {
  const callId = metaOf(params)[CALL_ID_KEY];
  if (callId === undefined) return undefined;
  if (typeof callId !== 'string' || callId === '' || callId.length > CALL_ID_MAX) {
    throw new Fault(RPC.invalidParams, `${CALL_ID_KEY} is not a name.`, { id });
  }
  return callId;
}

/** The caller wants a receipt of its own, whatever becomes of the call. */
export const wantsReceipt = ({ params }: RequestMessage): boolean =>
  metaOf(params)[RECEIPT_META] === true;

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The trace that a message belongs to, else the one that its request names in the header; '' = neither. */
export function traceparentOf(params: JsonObject, header: string | undefined): string {
  const given = metaOf(params)['traceparent'] ?? header;
  return typeof given === 'string' && TRACEPARENT.test(given) ? given : '';
}

/** Params as they go upstream: without our own keys in `_meta`. */
export function withoutOwnMeta(params: JsonObject): JsonObject {
  const { _meta: meta } = params;
  if (!isObject(meta)) return params;
  const kept = Object.entries(meta).filter(([key]) => !key.startsWith(OWN_KEYS));
  return { ...params, _meta: Object.fromEntries(kept) };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const metaOf = (params: JsonObject): JsonObject =>
  isObject(params['_meta']) ? params['_meta'] : {};

const isId = (value: Json | undefined): value is RequestId =>
  typeof value === 'string'
    ? value.length <= ID_CHARS_MAX
    : typeof value === 'number' && Number.isInteger(value);

const malformed = (detail: string, id: RequestId | null = null): Fault =>
  new Fault(RPC.invalidRequest, detail, { id });

/**
 * For tool servers: refuses every call that does not bring a receipt of Countersign for exactly this call, fresh and
 * never used before. Whoever holds the server's address and credential still gets nothing past the decision.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

import { canonical } from './canonical.ts';
import { isObject } from './caveats.ts';
import { keysFrom, type FindKey, type KeySet } from './receipt-keys.ts';
import { isSignedBy, readReceipt, sha256, type Statement } from './receipt.ts';

export type { KeySet, Statement };

/** Header with the receipt of a call. */
export const RECEIPT_HEADER = 'countersign-receipt';
/** The same in MCP's `_meta`. */
export const RECEIPT_META = 'countersign/receipt';

export type RefusalCode =
  | 'receipt.missing'
  | 'receipt.malformed'
  | 'receipt.other_call'
  | 'receipt.not_allowed'
  | 'receipt.expired'
  | 'receipt.not_yet'
  | 'receipt.unknown_key'
  | 'receipt.signature'
  | 'receipt.used'
  | 'receipt.unavailable';

const MESSAGES: Readonly<Record<RefusalCode, string>> = {
  'receipt.missing': 'Calls come through Countersign; this one brings no receipt.',
  'receipt.malformed': 'This is no receipt.',
  'receipt.other_call': 'The receipt is for another call.',
  'receipt.not_allowed': 'The receipt says that the call may not run.',
  'receipt.expired': 'The receipt has expired.',
  'receipt.not_yet': 'The receipt is from the future; one of the clocks is wrong.',
  'receipt.unknown_key': 'No worker that is known has signed this receipt.',
  'receipt.signature': 'The signature of the receipt is wrong.',
  'receipt.used': 'The receipt was used before.',
  'receipt.unavailable': 'Receipts cannot be checked now; nothing runs.',
};

/** A call that must not run. */
export class ReceiptRefused extends Error {
  readonly code: RefusalCode;
  constructor(code: RefusalCode, cause?: unknown) {
    super(MESSAGES[code], { cause });
    this.name = 'ReceiptRefused';
    this.code = code;
  }
}

/**
 * Remembers which receipts were used. Several replicas of one server MUST share a store, such as `SET key 1 NX PX` in
 * Redis; a nonce need not be kept after `exp`.
 */
export interface NonceStore {
  /** True for the first use of this nonce. Whatever it throws refuses the call. */
  readonly use: (receipt: Pick<Statement, 'nonce' | 'at' | 'exp'>) => boolean | Promise<boolean>;
}

/**
 * The store of one process. It refuses receipts from before its own start, because it cannot know whether an earlier
 * process saw them, and everything once it is full.
 */
export function memoryNonces(max = 1_000_000): NonceStore {
  const used = new Map<string, number>();
  const startedAt = Date.now();
  return {
    use: ({ nonce, at, exp }) => {
      const now = Date.now();
      for (const [old, until] of used) {
        if (until > now) break;
        used.delete(old);
      }
      if (at < startedAt || used.has(nonce) || used.size >= max) return false;
      used.set(nonce, exp);
      return true;
    },
  };
}

export interface GuardOptions {
  /** The name that this server is registered under; receipts for another one are refused. */
  readonly upstream: string;
  /** Tenants that may call here. */
  readonly tenants: readonly string[];
  /** The keys, or their address: `/.well-known/countersign/jwks.json` of admin (or of the ingress). */
  readonly keys: KeySet | string | URL;
  /** Default: the memory of this process, which is right for one replica only. */
  readonly nonces?: NonceStore;
  /** By how much the decision's clock may be ahead of this one. Default 5,000. */
  readonly skewMs?: number;
}

/** What is about to run. */
export interface GuardedCall {
  readonly tool: string;
  /** As they will be used: JSON values. */
  readonly arguments: unknown;
}

/** Lets a call run once, on its receipt. */
export class ReceiptGuard {
  readonly #options: GuardOptions;
  readonly #findKey: FindKey;
  readonly #nonces: NonceStore;

  constructor(options: GuardOptions) {
    this.#options = options;
    this.#findKey = keysFrom(options.keys);
    this.#nonces = options.nonces ?? memoryNonces();
  }

  /** What the receipt says, once; a second time it is used. @throws ReceiptRefused */
  async check(receipt: string | undefined, call: GuardedCall): Promise<Statement> {
    if (receipt === undefined || receipt === '') throw new ReceiptRefused('receipt.missing');
    const read = readReceipt(receipt);
    if (read === undefined) throw new ReceiptRefused('receipt.malformed');
    const { statement } = read;
    const fault = this.#fault(statement, call);
    if (fault !== undefined) throw new ReceiptRefused(fault);
    const key = await this.#findKey(statement.key).catch(unavailable);
    if (key === undefined) throw new ReceiptRefused('receipt.unknown_key');
    if (!isSignedBy(read, key)) throw new ReceiptRefused('receipt.signature');
    const first = await Promise.resolve(statement)
      .then((used) => this.#nonces.use(used))
      .catch(unavailable);
    if (!first) throw new ReceiptRefused('receipt.used');
    return statement;
  }

  #fault(statement: Statement, call: GuardedCall): RefusalCode | undefined {
    const { upstream, tenants, skewMs = 5_000 } = this.#options;
    const { verdict, exp, at, args_hash: argsHash } = statement;
    const same =
      statement.upstream === upstream &&
      tenants.includes(statement.tenant) &&
      statement.tool === call.tool &&
      argsHash === hashOf(call.arguments);
    if (!same) return 'receipt.other_call';
    if (verdict !== 'allow') return 'receipt.not_allowed';
    const now = Date.now();
    if (now > exp) return 'receipt.expired';
    return at > now + skewMs ? 'receipt.not_yet' : undefined;
  }
}

function unavailable(cause: unknown): never {
  throw new ReceiptRefused('receipt.unavailable', cause);
}

/** Empty for arguments that have no canonical form: they match no receipt. */
function hashOf(value: unknown): string {
  try {
    return sha256(canonical(value));
  } catch {
    return '';
  }
}

/** A handler of node:http that takes the body as it was parsed, as the official MCP SDK's do. */
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  body?: unknown,
) => unknown;

export interface GuardedOptions {
  /** Longest body that is read. Default 4 MiB. */
  readonly bodyBytesMax?: number;
}

/**
 * An MCP server (Streamable HTTP) behind a guard. Only what is no call passes without a receipt: opening a session,
 * ping, discovery, tools/list, notifications and answers to the server's own requests.
 */
export function guardMcp(
  guard: ReceiptGuard,
  handler: Handler,
  options: GuardedOptions = {},
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return guarded(handler, options, async (request, body) => {
    if (request.method !== 'POST') return undefined;
    const call = callIn(body);
    return call === undefined
      ? undefined
      : guard.check(receiptOf(request) ?? receiptInMeta(body), call);
  });
}

/**
 * A plain HTTP tool behind a guard.
 * @param callOf the call in a request: everything that the handler acts on MUST be in its tool or its arguments, the
 * query and the parts of the path too. The body is parsed JSON, undefined without one.
 */
export function guardHttp(
  guard: ReceiptGuard,
  callOf: (request: IncomingMessage, body: unknown) => GuardedCall,
  handler: Handler,
  options: GuardedOptions = {},
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return guarded(handler, options, (request, body) =>
    guard.check(receiptOf(request), callOf(request, body)),
  );
}

/** Methods that run nothing. */
const FREE: ReadonlySet<string> = new Set(['initialize', 'ping', 'server/discover', 'tools/list']);

/** The call in a message of MCP as Countersign judges it, undefined for a message that is none. @throws ReceiptRefused */
function callIn(body: unknown): GuardedCall | undefined {
  if (!isObject(body)) throw new ReceiptRefused('receipt.missing');
  const { method, params = {} } = body;
  if (method === undefined) return undefined; // an answer to a request of the server
  if (typeof method !== 'string' || !isObject(params)) throw new ReceiptRefused('receipt.missing');
  if (FREE.has(method) || (method.startsWith('notifications/') && body['id'] === undefined))
    return undefined;
  if (method !== 'tools/call') {
    const { _meta: _, ...args } = params;
    return { tool: `mcp:${method}`, arguments: args };
  }
  const { name, arguments: args = {} } = params;
  return { tool: typeof name === 'string' ? name : '', arguments: args };
}

function receiptOf({ headers }: IncomingMessage): string | undefined {
  const receipt = headers[RECEIPT_HEADER];
  return typeof receipt === 'string' ? receipt : undefined;
}

function receiptInMeta(body: unknown): string | undefined {
  const params = isObject(body) ? body['params'] : undefined;
  const meta = isObject(params) ? params['_meta'] : undefined;
  const receipt = isObject(meta) ? meta[RECEIPT_META] : undefined;
  return typeof receipt === 'string' ? receipt : undefined;
}

const BODY_BYTES_MAX = 4 * 1024 * 1024;

/** What was checked is what runs: the handler gets the value that was parsed here, never the bytes. */
function guarded(
  handler: Handler,
  { bodyBytesMax = BODY_BYTES_MAX }: GuardedOptions,
  check: (request: IncomingMessage, body: unknown) => Promise<unknown>,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    let body: unknown;
    try {
      body = await bodyOf(request, bodyBytesMax);
      await check(request, body);
    } catch (error) {
      if (!(error instanceof ReceiptRefused)) throw error;
      return refuse(response, body, error);
    }
    await handler(request, response, body);
  };
}

async function bodyOf(request: IncomingMessage, bytesMax: number): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new ReceiptRefused('receipt.malformed');
    chunks.push(chunk);
  }
  if (bytes === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw new ReceiptRefused('receipt.malformed', cause);
  }
}

/** 403 (503 where nothing could be checked), as JSON-RPC where the request was. */
function refuse(response: ServerResponse, body: unknown, { code, message }: ReceiptRefused): void {
  const status = code === 'receipt.unavailable' ? 503 : 403;
  const error = { code: -32_001, message, data: { code } };
  const rpc = isObject(body) && body['jsonrpc'] === '2.0';
  const answer = rpc
    ? { jsonrpc: '2.0', id: body['id'] ?? null, error }
    : { error: { code, message } };
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(JSON.stringify(answer));
}

// A program as IntentGate's published contract has it, and nothing of ours: it makes and narrows v4 tokens by itself,
// and knows a gateway only by its route, headers, envelope and error codes.

import { createHmac } from 'node:crypto';

/** By error code, as its SDKs raise them. */
const ERRORS: Readonly<Record<number, string>> = {
  [-32010]: 'CapabilityError',
  [-32011]: 'IntentError',
  [-32012]: 'PolicyError',
  [-32013]: 'BudgetError',
  [-32014]: 'ProvenanceError',
};

export class GatewayError extends Error {
  override readonly name: string;
  readonly code: number;
  readonly data: unknown;
  constructor(
    name: string,
    { code, message, data }: { code: number; message: string; data?: unknown },
  ) {
    super(message);
    this.name = name;
    this.code = code;
    this.data = data;
  }
}

export interface ToolResult {
  readonly content: unknown[];
  readonly isError: boolean;
  readonly raw: Record<string, unknown>;
  readonly metadata: {
    readonly decision: string;
    readonly reason: string;
    readonly latency_ms: number;
  } | null;
}

export class Gateway {
  readonly #url: string;
  readonly #token: string;
  #id = 0;

  constructor(url: string, token: string) {
    this.#url = url.replace(/\/+$/, '');
    this.#token = token;
  }

  async tool(name: string, args: object, prompt = ''): Promise<ToolResult> {
    this.#id += 1;
    const response = await fetch(`${this.#url}/v1/mcp`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        Authorization: `Bearer ${this.#token}`,
        ...(prompt === '' ? {} : { 'X-Intent-Prompt': prompt }),
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: this.#id,
        method: 'tools/call',
        params: { name, arguments: args },
      }),
      signal: AbortSignal.timeout(10_000),
    });
    if (!response.ok) throw new Error(`transport: HTTP ${response.status}`);
    const body: unknown = await response.json();
    if (!isObject(body)) throw new Error('protocol: not an object');
    const { error, result } = body;
    if (isObject(error)) {
      const { code, message, data } = error;
      if (typeof code !== 'number' || typeof message !== 'string')
        throw new Error('protocol: error');
      throw new GatewayError(ERRORS[code] ?? 'ProtocolError', { code, message, data });
    }
    if (!isObject(result)) throw new Error('protocol: neither result nor error');
    return {
      content: Array.isArray(result['content']) ? result['content'] : [],
      isError: result['isError'] === true,
      raw: result,
      metadata: (result['_intentgate'] ?? null) as ToolResult['metadata'],
    };
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const encode = (members: object) => Buffer.from(JSON.stringify(members)).toString('base64url');
const sign = (key: Uint8Array | string, text: string) =>
  createHmac('sha256', key as Uint8Array)
    .update(text)
    .digest();

/** A root token as its gateway mints it; the caveats after the lock as they are given. */
export function mintV4(
  key: Uint8Array,
  claims: { readonly jti: string; readonly tenant: string; readonly sub: string },
  caveats: readonly object[] = [],
): string {
  const { jti, tenant, sub } = claims;
  const iat = Math.floor(Date.now() / 1_000);
  const root = { v: 4, jti, root_jti: jti, iss: 'intentgate', tenant, zone: 'default', sub, iat };
  const signature = sign(key, JSON.stringify(root));
  const token = encode({ ...root, sig: signature.toString('base64url') });
  return attenuateV4(token, [{ t: 'agent_lock', agent: sub }, ...caveats]);
}

/** Narrowed as its JavaScript SDK does it: caveats signed as JSON.stringify writes them. */
export function attenuateV4(token: string, added: readonly object[]): string {
  const parsed = JSON.parse(Buffer.from(token, 'base64url').toString()) as {
    cav?: object[];
    sig: string;
  };
  const { cav = [], sig, ...claims } = parsed;
  let last: Buffer = Buffer.from(sig, 'base64url');
  for (const caveat of added) last = sign(last, JSON.stringify(caveat));
  return encode({ ...claims, cav: [...cav, ...added], sig: last.toString('base64url') });
}

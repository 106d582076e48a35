// Asks an MCP server which tools it has. Both eras of Streamable HTTP; the definitions are kept exactly as they came,
// for their digest says whether one has changed since.

import type { JsonObject } from '#contracts/json.ts';

import { CliError } from './output.ts';

export type ToolDefinition = JsonObject & { readonly name: string };

const STATEFUL = '2025-11-25';
const STATELESS = '2026-07-28';
const CLIENT = { name: 'countersign', version: '0.1.0' };
const ANSWER_MS_MAX = 30_000;
const PAGES_MAX = 100;

interface Server {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The tools of a server in its order. Throws CliError. */
export async function listServerTools(server: Server): Promise<ToolDefinition[]> {
  const session = await openSession(server);
  const tools: ToolDefinition[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const params = { ...session.params, ...(cursor === undefined ? {} : { cursor }) };
    const { result } = await request(session, 'tools/list', params);
    const { tools: given, nextCursor } = result as { tools?: unknown; nextCursor?: unknown };
    if (!Array.isArray(given)) throw new CliError(`${server.url} did not list its tools.`);
    tools.push(...(given as ToolDefinition[]));
    if (typeof nextCursor !== 'string') return tools;
    cursor = nextCursor;
  }
  throw new CliError(`${server.url} lists tools without end.`);
}

/** A server as it wants to be asked: what goes into every request of its era. */
interface Session extends Server {
  readonly params: JsonObject;
}

/** Servers before 2026-07-28 want a handshake; one that refuses it is asked without. */
async function openSession(server: Server): Promise<Session> {
  const params = { protocolVersion: STATEFUL, capabilities: {}, clientInfo: CLIENT };
  const opened = await exchange({ ...server, params: {} }, 'initialize', params);
  if (opened.result === undefined) {
    return {
      ...server,
      headers: { ...server.headers, 'mcp-protocol-version': STATELESS },
      params: {
        _meta: {
          'io.modelcontextprotocol/protocolVersion': STATELESS,
          'io.modelcontextprotocol/clientInfo': CLIENT,
          'io.modelcontextprotocol/clientCapabilities': {},
        },
      },
    };
  }
  const { protocolVersion = STATEFUL } = opened.result as { protocolVersion?: string };
  const session = {
    ...server,
    headers: {
      ...server.headers,
      'mcp-protocol-version': protocolVersion,
      ...(opened.sessionId === '' ? {} : { 'mcp-session-id': opened.sessionId }),
    },
    params: {},
  };
  await post(session, { jsonrpc: '2.0', method: 'notifications/initialized' });
  return session;
}

async function request(session: Session, method: string, params: JsonObject): Promise<Answer> {
  const answer = await exchange(session, method, params);
  if (answer.result !== undefined) return answer;
  throw new CliError(`${session.url} refused ${method}: ${answer.fault}`, {
    help: 'a server that wants a credential gets one with --credential-file FILE',
  });
}

interface Answer {
  readonly result: unknown;
  /** Why there is no result. */
  readonly fault: string;
  readonly sessionId: string;
}

async function exchange(session: Session, method: string, params: JsonObject): Promise<Answer> {
  const response = await post(session, { jsonrpc: '2.0', id: 1, method, params });
  const text = await response.text();
  const messages = (response.headers.get('content-type') ?? '').startsWith('text/event-stream')
    ? dataOf(text)
    : [text];
  const answer = messages.map(parsed).find((message) => message?.id === 1);
  return {
    result: answer?.result,
    fault: answer?.error?.message ?? `HTTP status ${response.status}`,
    sessionId: response.headers.get('mcp-session-id') ?? '',
  };
}

async function post({ url, headers }: Server, message: JsonObject): Promise<Response> {
  const { method } = message;
  try {
    return await fetch(url, {
      method: 'POST',
      headers: {
        accept: 'application/json, text/event-stream',
        'content-type': 'application/json',
        'mcp-method': typeof method === 'string' ? method : '',
        ...headers,
      },
      body: JSON.stringify(message),
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
  } catch (cause) {
    throw new CliError(`${url} does not answer.`, { cause });
  }
}

/** Data of each server-sent event. */
const dataOf = (text: string): string[] =>
  text.split(/\r?\n\r?\n/).map((event) =>
    event
      .split(/\r?\n/)
      .flatMap((line) => (line.startsWith('data:') ? [line.slice(5).trimStart()] : []))
      .join('\n'),
  );

interface Message {
  readonly id?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message?: string };
}

/** untrusted: a message of the server. */
function parsed(text: string): Message | undefined {
  try {
    const message: unknown = JSON.parse(text);
    return typeof message === 'object' && message !== null ? message : undefined;
  } catch {
    return undefined;
  }
}

// A world of workers (world.ts) with an ingress in front, and upstreams that record what reaches them.

import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import {
  createServer,
  type IncomingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { CONTROL_KEYS, type Tool } from '#contracts/control.ts';
import { decodeRecords } from '#contracts/record.ts';
import { readConfig } from '#host/config.ts';

import { IngressConfig } from '../../services/ingress/config.ts';
import { start } from '../../services/ingress/main.ts';
import { startWorld, type World } from './world.ts';

export interface Gateway {
  readonly world: World;
  readonly url: string;
  /** Headers of an agent that may use everything. */
  readonly headers: Readonly<Record<string, string>>;
  /** Registers an upstream with tools; `secret` becomes its credential in a file. */
  readonly upstream: (
    name: string,
    url: string,
    options?: {
      tools?: readonly (string | Tool)[];
      secret?: string;
      timeoutMs?: number;
      receipts?: boolean;
    },
  ) => Promise<void>;
  /** Rewrites the file with the credential of an upstream. */
  readonly rotate: (name: string, secret: string) => Promise<void>;
  /** Outcomes in the stream, in order: status and detail. */
  readonly outcomes: () => Promise<{ decision_id: string; status: string; detail: any }[]>; // oxlint-disable-line typescript/no-explicit-any
  /** POSTs one message to an upstream's address; the body is JSON, or the last JSON of a stream. */
  readonly rpc: (
    upstream: string,
    body: unknown,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Rpc>;
  /** A second replica over the same broker and keys. */
  readonly replica: () => Promise<string>;
  /** Ends the replica that was started last. */
  readonly stopReplica: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface Rpc {
  readonly status: number;
  readonly headers: Headers;
  readonly body: any; // oxlint-disable-line typescript/no-explicit-any -- answers of many shapes
}

export const ALLOW_EVERYTHING = `package countersign.policy
decision := {"verdict": "allow"}
`;

export async function startGateway(rego = ALLOW_EVERYTHING): Promise<Gateway> {
  const world = await startWorld({ workers: 0 });
  const folder = join(await world.file('credentials.mark', ''), '..', 'credentials');
  await mkdir(join(folder, world.tenant), { recursive: true });
  const sealKeyFile = await world.file('seal', randomBytes(32).toString('base64'));
  await world.put(CONTROL_KEYS.agent(world.tenant, 'shop-agent'), {
    class: 'shop',
    issuer: 'idp',
    grant: { tools: ['*', 'mcp:*/*', 'mcp:*/*/*'] },
  });
  await world.activate(rego);
  await world.startWorker(); // it starts with all of that, where another would have to be waited for
  const startOne = () =>
    start(
      readConfig(IngressConfig, {
        COUNTERSIGN_NATS_URL: world.nats.url,
        COUNTERSIGN_NATS_PASSWORD_FILE: world.nats.passwordFile('ingress'),
        COUNTERSIGN_NATS_MONITOR_URL: world.nats.monitorUrl,
        COUNTERSIGN_HEALTH_PORT: '0',
        COUNTERSIGN_INGRESS_PORT: '0',
        COUNTERSIGN_LOG_LEVEL: process.env['TEST_LOG'] ?? 'fatal',
        COUNTERSIGN_SEAL_KEY_FILE: sealKeyFile,
        COUNTERSIGN_MAC_KEYS_FILE: world.macKeysFile,
        COUNTERSIGN_UPSTREAM_CREDENTIALS_DIR: folder,
      }),
    );
  const running = [await startOne()];
  const secretFile = (name: string) => join(folder, world.tenant, name);
  const url = running[0]?.url ?? '';
  const headers = { authorization: `Bearer ${await world.identity()}` };
  return {
    world,
    url,
    headers,
    rpc: async (upstream, body, more = {}) => {
      const response = await fetch(`${url}/mcp/${upstream}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers, ...more },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      });
      const text = await response.text();
      const [last = ''] = text.match(/(?<=^data: ).*$/gm)?.slice(-1) ?? [text];
      return {
        status: response.status,
        headers: response.headers,
        body: last === '' ? undefined : JSON.parse(last),
      };
    },
    upstream: async (name, url, { tools = [], secret = '', timeoutMs, receipts } = {}) => {
      if (secret !== '') await writeFile(secretFile(name), `${secret}\n`);
      for (const tool of tools) {
        const value: Tool = typeof tool === 'string' ? { name: tool, upstream: name } : tool;
        await world.put(CONTROL_KEYS.tool(world.tenant, name, value.name), value);
      }
      await world.put(CONTROL_KEYS.upstream(world.tenant, name), {
        url,
        kind: 'mcp',
        ...(secret === '' ? {} : { credential: { file: secretFile(name) } }),
        ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }),
        ...(receipts === undefined ? {} : { receipts }),
      });
      await world.ask({ ask: 'visible' }); // answered by the one worker that knows it by then
    },
    rotate: (name, secret) => writeFile(secretFile(name), `${secret}\n`),
    outcomes: async () => {
      const { state } = await world.operator.jsm.streams.info('OUTCOMES');
      const found = [];
      for (let seq = 1; seq <= state.last_seq; seq += 1) {
        const message = await world.operator.jsm.streams.getMessage('OUTCOMES', { seq });
        for (const { leaf, payload } of decodeRecords(
          Buffer.from(message?.data ?? []).toString(),
        )) {
          const { decision_id, status } = JSON.parse(leaf);
          found.push({ decision_id, status, detail: JSON.parse(payload).sections.detail });
        }
      }
      return found;
    },
    replica: async () => {
      const another = await startOne();
      running.push(another);
      return another.url;
    },
    stopReplica: async () => running.pop()?.stop(),
    close: async () => {
      for (const one of running) await one.stop();
      await world.close();
    },
  };
}

/** A request of the new era with the headers that mirror it. */
export function modern(
  method: string,
  params: Record<string, unknown> = {},
  capabilities: object = {},
): { readonly body: object; readonly headers: Record<string, string> } {
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': capabilities,
    ...(params['_meta'] as object | undefined),
  };
  const name = params['name'] ?? params['uri'] ?? params['taskId'];
  return {
    body: { jsonrpc: '2.0', id: 1, method, params: { ...params, _meta } },
    headers: {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
    },
  };
}

/** What reached a recording upstream. */
export interface Received {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Resolves when the connection of this request is closed before its answer was complete. */
  readonly aborted: Promise<void>;
}

export interface RecordingUpstream {
  readonly url: string;
  readonly received: Received[];
  readonly close: () => Promise<void>;
}

/** An upstream that records every request and answers as told; by default each request with an empty tool result. */
export async function startRecorder(
  answer: (received: Received, response: ServerResponse) => void = answerEmpty,
): Promise<RecordingUpstream> {
  const received: Received[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const aborted = new Promise<void>((resolve) => {
        response.once('close', () => {
          if (!response.writableFinished) resolve();
        });
      });
      const { method = '', headers } = request;
      const one = { method, headers, text: Buffer.concat(chunks).toString(), aborted };
      received.push(one);
      answer(one, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function answerEmpty({ text }: Received, response: ServerResponse): void {
  const { id } = text === '' ? { id: undefined } : JSON.parse(text);
  if (id === undefined) {
    response.writeHead(202).end();
    return;
  }
  const result = { resultType: 'complete', content: [{ type: 'text', text: 'done' }] };
  response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ jsonrpc: '2.0', id, result }));
}

/**
 * The tool server that the conformance suite is run against: the official SDK with what the suite's scenarios call.
 * New era stateless, old era with sessions, at one address.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import {
  localhostHostValidation,
  localhostOriginValidation,
  NodeStreamableHTTPServerTransport,
  toNodeHandler,
  toWebRequest,
} from '@modelcontextprotocol/node';
import {
  createMcpHandler,
  type EventStore,
  isLegacyRequest,
  type JSONRPCMessage,
  McpServer,
  type ServerNotifier,
} from '@modelcontextprotocol/server';

import { addPrompts, addResources } from './content.ts';
import { addTools, verifyState } from './tools.ts';

const RETRY_MS = 100;
const CHANGES = { listChanged: true };
const CACHED = { ttlMs: 1_000, cacheScope: 'private' } as const;

function createScenarioServer(notify: () => ServerNotifier, legacy: boolean): McpServer {
  const server = new McpServer(
    { name: 'countersign-conformance', version: '1.0.0' },
    {
      capabilities: {
        tools: CHANGES,
        prompts: CHANGES,
        resources: { ...CHANGES, subscribe: true },
        completions: {},
        logging: {},
      },
      cacheHints: {
        'tools/list': CACHED,
        'prompts/list': CACHED,
        'resources/list': CACHED,
        'resources/templates/list': CACHED,
        'resources/read': CACHED,
      },
      requestState: { verify: verifyState },
    },
  );
  addTools(server, notify);
  addPrompts(server);
  addResources(server);
  server.server.setRequestHandler('completion/complete', () => ({
    completion: { values: ['paris', 'park', 'party'], total: 3, hasMore: false },
  }));
  if (legacy) {
    server.server.setRequestHandler('resources/subscribe', () => ({}));
    server.server.setRequestHandler('resources/unsubscribe', () => ({}));
  }
  return server;
}

export interface ScenarioUpstream {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** Starts it on a free port of loopback. */
export async function startUpstream(): Promise<ScenarioUpstream> {
  const modern = createMcpHandler(() => createScenarioServer(() => modern.notify, false), {
    legacy: 'reject',
  });
  const serveModern = toNodeHandler(modern);
  const sessions = new Map<string, NodeStreamableHTTPServerTransport>();

  async function serveLegacy(
    request: IncomingMessage,
    response: ServerResponse,
    body: unknown,
  ): Promise<void> {
    const id = request.headers['mcp-session-id'];
    let transport = typeof id === 'string' ? sessions.get(id) : undefined;
    if (transport === undefined && id !== undefined) {
      response.writeHead(404).end();
      return;
    }
    if (transport === undefined) {
      const opened = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        eventStore: keptEvents(),
        retryInterval: RETRY_MS,
        onsessioninitialized: (name) => void sessions.set(name, opened),
        onsessionclosed: (name) => void sessions.delete(name),
      });
      transport = opened;
      await createScenarioServer(() => modern.notify, true).connect(opened);
    }
    await transport.handleRequest(request, response, body);
  }

  const goodHost = localhostHostValidation();
  const goodOrigin = localhostOriginValidation();
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!goodHost(request, response) || !goodOrigin(request, response)) return;
    const body = request.method === 'POST' ? await bodyOf(request) : undefined;
    // The SDK's structural type lacks `undefined` where Node's own has it.
    const seen = request as Parameters<typeof toWebRequest>[0];
    if (await isLegacyRequest(await toWebRequest(seen, body))) {
      await serveLegacy(request, response, body);
    } else await serveModern(seen, response, body);
  }

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    // A listening TCP server has an address of this form.
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await modern.close();
      for (const transport of sessions.values()) await transport.close();
    },
  };
}

/** What a session's streams said, for clients that come back with Last-Event-ID. */
function keptEvents(): EventStore {
  const events: { readonly streamId: string; readonly message: JSONRPCMessage }[] = [];
  const streamOf = (eventId: string) => events[Number(eventId)]?.streamId ?? '';
  return {
    storeEvent: async (streamId, message) => String(events.push({ streamId, message }) - 1),
    getStreamIdForEventId: async (eventId) => streamOf(eventId),
    replayEventsAfter: async (lastEventId, { send }) => {
      const streamId = streamOf(lastEventId);
      for (let at = Number(lastEventId) + 1; at < events.length; at += 1) {
        const event = events[at];
        if (event?.streamId === streamId) await send(String(at), event.message);
      }
      return streamId;
    },
  };
}

/** Malformed bodies go on as text: that is for the SDK to refuse. */
async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

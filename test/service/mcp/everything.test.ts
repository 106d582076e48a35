// The reference server "everything" behind the gateway, unchanged, and driven by the client it was written for.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CallToolResultSchema,
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ResourceUpdatedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { anyFreePort } from '#cli/local/ports.ts';
import { CONTROL_KEYS, type Tool } from '#contracts/control.ts';
import type { JsonObject } from '#contracts/json.ts';
import { definitionHash } from '#contracts/tool-definition.ts';
import { type Gateway, startGateway } from '#test/support/gateway.ts';

const EVERYTHING = 'node_modules/@modelcontextprotocol/server-everything/dist/index.js';
const CAPABILITIES = { elicitation: {}, sampling: {}, roots: {} };

let gateway: Gateway;
let server: ChildProcess;
let url: string;
let client: Client;

beforeAll(async () => {
  const port = await anyFreePort();
  url = `http://127.0.0.1:${port}/mcp`;
  server = spawn(process.execPath, [join(CHECKOUT, EVERYTHING), 'streamableHttp'], {
    env: { PATH: process.env['PATH'], PORT: String(port) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await once(server.stderr!, 'data'); // "listening"
  gateway = await startGateway(`package countersign.policy
place := object.get(input.call.arguments, "location", "")
decision := {"verdict": "block"} if input.call.tool == "get-env"
else := {"verdict": "block"} if place == "Chicago"
else := {"verdict": "allow", "obligations": [{"type": "redact", "paths": ["/conditions"]}]} if place == "New York"
else := {"verdict": "allow"}
`);
  await gateway.world.put(CONTROL_KEYS.agent(gateway.world.tenant, 'shop-agent'), {
    class: 'shop',
    issuer: 'idp',
    grant: { tools: ['*', 'mcp:*/*', 'mcp:*/*/*'] },
  });
  const direct = await connect(url, {});
  const { tools } = await direct.listTools();
  await direct.close();
  await gateway.upstream('everything', url, { tools: tools.map(asRegistered) });
  client = await connect(`${gateway.url}/mcp/everything`, gateway.headers);
});
afterAll(async () => {
  await client.close();
  server.kill();
  await gateway.close();
});

/** Whoever registers a tool pins the definition that was looked at. */
const asRegistered = (definition: object): Tool => {
  const { name, inputSchema } = definition as Tool & { inputSchema: JsonObject };
  return {
    name,
    upstream: 'everything',
    input_schema: inputSchema,
    definition_hash: definitionHash(definition as JsonObject),
  };
};

async function connect(to: string, headers: Readonly<Record<string, string>>): Promise<Client> {
  const made = new Client({ name: 'test', version: '1' }, { capabilities: CAPABILITIES });
  made.setRequestHandler(ElicitRequestSchema, () => ({ action: 'decline' }));
  made.setRequestHandler(CreateMessageRequestSchema, () => ({
    role: 'assistant',
    content: { type: 'text', text: 'a sampled answer' },
    model: 'm',
  }));
  const transport = new StreamableHTTPClientTransport(new URL(to), {
    requestInit: { headers: { ...headers } },
  });
  await made.connect(transport as never); // its types are those of another compiler option
  return made;
}

const call = (name: string, args: object = {}) => client.callTool({ name, arguments: { ...args } });

describe('the reference server', () => {
  test('shows through us the tools that it shows, as it defines them', async () => {
    const direct = await connect(url, {});
    const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
    const { tools } = await client.listTools();
    expect(tools).toEqual((await direct.listTools()).tools.toSorted(byName));
    expect(tools.length).toBeGreaterThan(10);
    await direct.close();
  });

  test.each<[string, object, unknown]>([
    ['echo', { message: 'hello' }, [{ type: 'text', text: 'Echo: hello' }]],
    ['get-sum', { a: 2, b: 40 }, [{ text: 'The sum of 2 and 40 is 42.' }]],
    ['get-tiny-image', {}, [{}, { type: 'image' }, {}]],
    ['get-resource-links', { count: 2 }, [{}, { type: 'resource_link' }, {}]],
    ['trigger-sampling-request', { prompt: 'p' }, [{ text: /a sampled answer/ }]],
    ['trigger-elicitation-request', {}, [{ text: /declined/ }, {}]],
  ])('runs %s', async (name, args, content) => {
    const result = await call(name, args);
    expect(result).not.toHaveProperty('isError');
    expect(result.content).toMatchObject(
      (content as { text?: string | RegExp }[]).map((part) =>
        part.text instanceof RegExp ? { text: expect.stringMatching(part.text) } : part,
      ),
    );
  });

  test('reports progress on the way to its result', async () => {
    const heard: number[] = [];
    const result = await client.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 0.3, steps: 3 } },
      CallToolResultSchema,
      { onprogress: ({ progress }) => heard.push(progress) },
    );
    expect(heard).toEqual([1, 2, 3]);
    expect(result).not.toHaveProperty('isError');
  });

  test('has its resources read, and tells of changes on the stream of the session', async () => {
    const { resourceTemplates } = await client.listResourceTemplates();
    expect(resourceTemplates.length).toBeGreaterThan(0);
    const uri = 'demo://resource/dynamic/text/1';
    expect((await client.readResource({ uri })).contents).toMatchObject([{ uri }]);
    const updated = new Promise<string>((resolve) => {
      client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) =>
        resolve(params.uri),
      );
    });
    await client.subscribeResource({ uri });
    await call('toggle-subscriber-updates');
    expect(await updated).toBe(uri);
    await call('toggle-subscriber-updates');
    await client.unsubscribeResource({ uri });
  }, 30_000);

  test('gives its prompts and completes their arguments', async () => {
    expect((await client.listPrompts()).prompts.map(({ name }) => name)).toContain('args-prompt');
    const prompt = await client.getPrompt({ name: 'args-prompt', arguments: { city: 'Rome' } });
    expect(JSON.stringify(prompt.messages)).toContain('Rome');
  });

  test('is kept from what the policy blocks, also where a result has to fit a schema', async () => {
    expect(await call('get-env')).toMatchObject({ isError: true });
    expect(await call('get-structured-content', { location: 'Chicago' })).toMatchObject({
      isError: true,
      content: [{ text: expect.stringContaining('was blocked and did not run') }],
    });
    const hidden = await call('get-structured-content', { location: 'New York' });
    expect(hidden.structuredContent).toMatchObject({ conditions: '[redacted]' });
    expect(JSON.stringify(hidden.content)).not.toContain('Cloudy');
  });

  test('gets no arguments that do not fit the schema it was registered with', async () => {
    expect(await call('get-sum', { a: 'two', b: 40 })).toMatchObject({
      isError: true,
      _meta: { 'countersign/decision': { reason: { code: 'tool.arguments' } } },
    });
  });
});

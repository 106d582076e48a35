// The official clients of both eras, and a server of the official SDK behind the gateway: what a client can do without
// us it can do through us.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { type ScenarioUpstream, startUpstream } from '#cli/conformance/upstream.ts';
import { listServerTools } from '#cli/mcp-tools.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { definitionHash } from '#contracts/tool-definition.ts';
import { type Gateway, startGateway } from '#test/support/gateway.ts';

const REGISTERED = [
  'test_simple_text',
  'test_multiple_content_types',
  'test_error_handling',
  'test_tool_with_progress',
  'test_elicitation',
  'test_sampling',
];
const CAPABILITIES = { elicitation: {}, sampling: {} };
const INFO = { name: 'a client', version: '1' };
const ANSWER = { action: 'accept' as const, content: { username: 'eve', email: 'e@example.com' } };
const MODEL = {
  role: 'assistant' as const,
  content: { type: 'text' as const, text: 'Paris' },
  model: 'm',
};

let gateway: Gateway;
let upstream: ScenarioUpstream;
beforeAll(async () => {
  gateway = await startGateway(`package countersign.policy
message := object.get(input.call.arguments, "message", "")
decision := {"verdict": "block", "reason": "no_secrets", "message": "Ask for something else."} if message == "secret"
else := {"verdict": "escalate"} if message == "rare"
else := {"verdict": "block", "reason": "no_binaries"} if {
	input.call.tool == "mcp:resources/read"
	input.call.arguments.uri == "test://static-binary"
}
else := {"verdict": "allow"}
`);
  await gateway.world.put(CONTROL_KEYS.agent(gateway.world.tenant, 'shop-agent'), {
    class: 'shop',
    issuer: 'idp',
    grant: { tools: ['*', 'mcp:*/*', 'mcp:*/*/*'] },
  });
  upstream = await startUpstream();
  const changed = {
    name: 'test_image_content',
    upstream: 'real',
    definition_hash: `sha256:${'0'.repeat(64)}`,
  };
  const pinned = (await listServerTools({ url: upstream.url, headers: {} }))
    .filter(({ name }) => REGISTERED.includes(name))
    .map((tool) => ({ name: tool.name, upstream: 'real', definition_hash: definitionHash(tool) }));
  await gateway.upstream('real', upstream.url, { tools: [...pinned, changed] });
});
afterAll(async () => {
  await upstream.close();
  await gateway.close();
});

const address = () => new URL(`${gateway.url}/mcp/real`);
const requestInit = () => ({ headers: { ...gateway.headers } });

/** What the cases below need of a client, whichever it is. */
type AnyClient = Pick<
  Client,
  | 'callTool'
  | 'listTools'
  | 'listPrompts'
  | 'getPrompt'
  | 'readResource'
  | 'complete'
  | 'listResources'
  | 'close'
>;

async function current(versionNegotiation: object): Promise<AnyClient> {
  const client = new Client(INFO, { capabilities: CAPABILITIES, ...versionNegotiation });
  client.setRequestHandler('elicitation/create', () => ANSWER);
  client.setRequestHandler('sampling/createMessage', () => MODEL);
  await client.connect(
    new StreamableHTTPClientTransport(address(), { requestInit: requestInit() }),
  );
  return client;
}

async function old(): Promise<AnyClient> {
  const client = new OldClient(INFO, { capabilities: CAPABILITIES });
  client.setRequestHandler(ElicitRequestSchema, () => ANSWER);
  client.setRequestHandler(CreateMessageRequestSchema, () => MODEL);
  // Its types are those of another compiler option.
  await client.connect(new OldTransport(address(), { requestInit: requestInit() }) as never);
  return client as unknown as AnyClient;
}

describe.each<[string, () => Promise<AnyClient>]>([
  ['of 2026-07-28', () => current({ versionNegotiation: { mode: { pin: '2026-07-28' } } })],
  ['that finds the era out', () => current({ versionNegotiation: { mode: 'auto' } })],
  ['of 2025-11-25', () => current({})],
  ['of 2025-11-25 and the old SDK', old],
])('a client %s', (_, connect) => {
  let client: AnyClient;
  beforeAll(async () => {
    client = await connect();
  });
  afterAll(() => client.close());

  test('sees what is registered as it was registered, in the same order each time', async () => {
    const names = async () => (await client.listTools()).tools.map(({ name }) => name);
    expect(await names()).toEqual(REGISTERED.toSorted());
    expect(await names()).toEqual(REGISTERED.toSorted());
  });

  test('gets results of every kind of content', async () => {
    const { content } = await client.callTool({ name: 'test_multiple_content_types' });
    expect(content.map(({ type }) => type)).toEqual(['text', 'image', 'resource']);
  });

  test('gets what a tool says of its own failure', async () => {
    expect(await client.callTool({ name: 'test_error_handling' })).toMatchObject({
      isError: true,
      content: [{ text: 'This tool intentionally returns an error for testing' }],
    });
  });

  test('hears of progress before the result', async () => {
    const heard: number[] = [];
    const options = { onprogress: ({ progress }: { progress: number }) => heard.push(progress) };
    const call = { name: 'test_tool_with_progress', arguments: {} };
    // The old SDK has its options in third place.
    const { callTool } = client as unknown as {
      callTool: (...args: readonly unknown[]) => Promise<unknown>;
    };
    const isOld = client instanceof OldClient;
    await callTool.call(client, call, ...(isOld ? [undefined, options] : [options]));
    expect(heard).toEqual([0, 50, 100]);
  });

  test('answers what the tool asks its person and its model', async () => {
    const asked = await client.callTool({
      name: 'test_elicitation',
      arguments: { message: 'Who are you?' },
    });
    expect(JSON.stringify(asked.content)).toContain('eve');
    const sampled = await client.callTool({
      name: 'test_sampling',
      arguments: { prompt: 'What is the capital of France?' },
    });
    expect(JSON.stringify(sampled.content)).toContain('Paris');
  });

  test('reads why a call was blocked, and that another is held', async () => {
    const blocked = await client.callTool({
      name: 'test_elicitation',
      arguments: { message: 'secret' },
    });
    expect(blocked).toMatchObject({
      isError: true,
      content: [{ text: expect.stringContaining('Ask for something else.') }],
    });
    const held = await client.callTool({
      name: 'test_elicitation',
      arguments: { message: 'rare' },
    });
    expect(held).toMatchObject({
      isError: true,
      content: [{ text: expect.stringContaining('held') }],
      _meta: { 'countersign/decision': { verdict: 'escalate', approval_id: expect.any(String) } },
    });
  });

  test('does not get a tool that is not registered, though the server has it', async () => {
    expect(await client.callTool({ name: 'test_audio_content' })).toMatchObject({
      isError: true,
      _meta: { 'countersign/decision': { reason: { code: 'tool.unknown' } } },
    });
  });

  test('reads resources and prompts as far as the policy lets it', async () => {
    const { resources } = await client.listResources();
    expect(resources.map(({ uri }) => uri)).toContain('test://static-binary');
    const read = (uri: string) => client.readResource({ uri });
    expect((await read('test://static-text')).contents).toMatchObject([{ mimeType: 'text/plain' }]);
    await expect(read('test://static-binary')).rejects.toThrow('no_binaries');
    expect((await client.listPrompts()).prompts.length).toBeGreaterThan(3);
    const prompt = await client.getPrompt({
      name: 'test_prompt_with_arguments',
      arguments: { arg1: 'one', arg2: 'two' },
    });
    expect(JSON.stringify(prompt.messages)).toContain('one');
    const completed = await client.complete({
      ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' },
      argument: { name: 'arg1', value: 'pa' },
    });
    expect(completed.completion.values).toContain('paris');
  });
});

test('each call that ran left one outcome, and no call that did not run left any', async () => {
  const before = (await gateway.outcomes()).length;
  const client = await current({ versionNegotiation: { mode: { pin: '2026-07-28' } } });
  await client.callTool({ name: 'test_simple_text' });
  await client.callTool({ name: 'test_elicitation', arguments: { message: 'secret' } });
  await client.callTool({ name: 'test_error_handling' });
  await client.close();
  const outcomes = (await gateway.outcomes()).slice(before);
  expect(outcomes.map(({ status }) => status)).toEqual(['executed', 'failed']);
});

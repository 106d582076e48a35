// tools/list and the header that mirror the body: what a caller sees, and what is refused before anybody judges it.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { definitionHash } from '#contracts/tool-definition.ts';
import {
  type Gateway,
  modern,
  type RecordingUpstream,
  startGateway,
  startRecorder,
} from '#test/support/gateway.ts';

const tool = (name: string) => ({
  name,
  description: `Does ${name}.`,
  inputSchema: {
    type: 'object' as const,
    properties: {
      region: { type: 'string', 'x-mcp-header': 'Region' },
      where: {
        type: 'object',
        properties: { level: { type: 'integer', 'x-mcp-header': 'Level' } },
      },
    },
  },
});
const LISTED = ['pay', 'changed', 'look', 'unregistered', 'mine'].map(tool);

let gateway: Gateway;
let upstream: RecordingUpstream;
beforeAll(async () => {
  gateway = await startGateway();
  upstream = await startRecorder(({ text }, response) => {
    const { id } = JSON.parse(text);
    const result = {
      resultType: 'complete',
      tools: LISTED,
      nextCursor: 'page-2',
      ttlMs: 600_000,
      cacheScope: 'public',
    };
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ jsonrpc: '2.0', id, result }));
  });
  await gateway.upstream('rec', upstream.url, {
    tools: [
      ...['pay', 'look', 'mine'].map((name) => ({
        name,
        upstream: 'rec',
        input_schema: tool(name).inputSchema,
        definition_hash: definitionHash(tool(name)),
      })),
      { name: 'changed', upstream: 'rec', definition_hash: definitionHash(tool('was another')) },
    ],
  });
});
afterAll(async () => {
  await upstream.close();
  await gateway.close();
});

const list = (headers: Record<string, string> = {}, params: Record<string, unknown> = {}) => {
  const message = modern('tools/list', params);
  return gateway.rpc('rec', message.body, { ...message.headers, ...headers });
};
const names = ({ body }: Awaited<ReturnType<typeof list>>) =>
  body.result.tools.map(({ name }: { name: string }) => name);

describe('a list of tools', () => {
  test('has what is registered as it is defined now, in order, for this caller alone', async () => {
    const answer = await list({}, { cursor: 'page-1' });
    expect(answer.body.result).toEqual({
      resultType: 'complete',
      tools: ['look', 'mine', 'pay'].map(tool),
      nextCursor: 'page-2',
      ttlMs: 30_000,
      cacheScope: 'private',
    });
    expect(JSON.parse(upstream.received.at(-1)!.text).params.cursor).toBe('page-1');
  });

  test('has only what the capability covers', async () => {
    const expiry = { t: 'exp' as const, exp: Math.floor(Date.now() / 1_000) + 3_600 };
    const capability = await gateway.world.mint([{ t: 'tool_allow', tools: ['look'] }, expiry]);
    expect(names(await list({ 'countersign-capability': capability }))).toEqual(['look']);
  });

  test('has nothing for a capability that does not hold', async () => {
    expect(names(await list({ 'countersign-capability': 'broken' }))).toEqual([]);
  });

  test('costs no decision', async () => {
    const stored = async () =>
      (await gateway.world.operator.jsm.streams.info('DECISIONS')).state.messages;
    const before = await stored();
    await list();
    expect(await stored()).toBe(before);
  });
});

describe('a header that mirrors the body', () => {
  const call = (args: object) => modern('tools/call', { name: 'pay', arguments: args });
  const base64 = (text: string) => `=?base64?${Buffer.from(text).toString('base64')}?=`;
  type Case = readonly [name: string, headers: Record<string, string | undefined>, args: object];
  const send = ([, change, args]: Case) => {
    const { body, headers } = call(args);
    const all = Object.entries({ ...headers, ...change }).filter(
      ([, value]) => value !== undefined,
    );
    return gateway.rpc('rec', body, Object.fromEntries(all) as Record<string, string>);
  };

  test.each<Case>([
    ['another method', { 'mcp-method': 'tools/list' }, {}],
    ['a method in capitals', { 'mcp-method': 'Tools/Call' }, {}],
    ['no method', { 'mcp-method': undefined }, {}],
    ['another tool', { 'mcp-name': 'look' }, {}],
    ['no tool', { 'mcp-name': undefined }, {}],
    ['another tool in Base64', { 'mcp-name': base64('look') }, {}],
    ['broken Base64', { 'mcp-name': '=?base64?cGF5===?=' }, {}],
    ['another version', { 'mcp-protocol-version': '2025-11-25' }, {}],
    ['no version', { 'mcp-protocol-version': undefined }, {}],
    ['another parameter', { 'mcp-param-region': 'us' }, { region: 'eu' }],
    ['no parameter', {}, { region: 'eu' }],
    ['a nested parameter', { 'mcp-param-level': '2' }, { where: { level: 1 } }],
  ])('is refused: %s', async (...what) => {
    const count = upstream.received.length;
    const answer = await send(what);
    expect([answer.status, answer.body.id, answer.body.error.code]).toEqual([400, 1, -32020]);
    expect(upstream.received.length).toBe(count);
  });

  test.each<Case>([
    ['as it is', {}, {}],
    ['a tool in Base64', { 'mcp-name': base64('pay') }, {}],
    ['a parameter', { 'mcp-param-region': 'eu' }, { region: 'eu' }],
    ['a parameter in Base64', { 'mcp-param-region': base64('Köln') }, { region: 'Köln' }],
    ['a number in another form', { 'mcp-param-level': '1.0' }, { where: { level: 1 } }],
    ['a parameter that nobody declared', { 'mcp-param-other': 'x' }, {}],
  ])('passes: %s', async (...what) => {
    expect((await send(what)).status).toBe(200);
    const [, change] = what;
    expect(upstream.received.at(-1)!.headers).toMatchObject(change);
  });
});

describe('a request by another name', () => {
  test.each([
    ['a name of this machine', { host: 'localhost' }, 200],
    ['a foreign name', { host: 'evil.example' }, 403],
    ['a foreign origin', { origin: 'http://evil.example' }, 403],
  ])('%s', async (_, headers, status) => {
    const { body, headers: mirrored } = modern('tools/list');
    const { request } = await import('undici');
    const answer = await request(`${gateway.url}/mcp/rec`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...gateway.headers, ...mirrored, ...headers },
      body: JSON.stringify(body),
    });
    await answer.body.dump();
    expect(answer.statusCode).toBe(status);
  });
});

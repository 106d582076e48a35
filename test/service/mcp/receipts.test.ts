// Receipts on the way of an MCP call: to the upstream with every call that it runs, to the agent where it asks for one,
// and never one that somebody else wrote.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openReceipt } from '#contracts/receipt.ts';
import { sha256 } from '#contracts/record.ts';
import {
  type Gateway,
  modern,
  type RecordingUpstream,
  startGateway,
  startRecorder,
} from '#test/support/gateway.ts';

const KEY = 'countersign/receipt';

let gateway: Gateway;
let upstream: RecordingUpstream;
beforeAll(async () => {
  gateway = await startGateway(`package countersign.policy
import rego.v1
decision := {"verdict": "block"} if input.call.arguments.no
else := {"verdict": "allow"}
`);
  upstream = await startRecorder();
  await gateway.upstream('checks', upstream.url, { tools: ['pay'] });
  await gateway.upstream('plain', upstream.url, { tools: ['pay'], receipts: false });
});
afterAll(async () => {
  await upstream.close();
  await gateway.close();
});

const send = async (to: string, method: string, params: Record<string, unknown>) => {
  const { body, headers } = modern(method, params);
  const answer = await gateway.rpc(to, body, headers);
  const received = upstream.received.splice(0).at(-1);
  return {
    answer: answer.body,
    header: received?.headers['countersign-receipt'],
    meta: JSON.parse(received?.text ?? '{}').params?._meta?.[KEY],
  };
};
const pay = (to: string, args: object = {}, meta: object = {}) =>
  send(to, 'tools/call', { name: 'pay', arguments: args, _meta: meta });

describe('the upstream', () => {
  it('gets the receipt of the call in header and _meta', async () => {
    const { header, meta } = await pay('checks', { b: 1, a: 2 });
    expect(openReceipt(String(header))).toMatchObject({
      args_hash: sha256('{"a":2,"b":1}'),
      tool: 'pay',
      upstream: 'checks',
      verdict: 'allow',
    });
    expect(meta).toBe(header);
  });

  it('gets that of a method that is no tool, over its params', async () => {
    const { header } = await send('checks', 'resources/read', { uri: 'file:///a' });
    expect(openReceipt(String(header))).toMatchObject({
      args_hash: sha256('{"uri":"file:///a"}'),
      tool: 'mcp:resources/read',
    });
  });

  it('gets none where they are switched off, and none that an agent wrote', async () => {
    const { header, meta } = await pay('plain', {}, { [KEY]: 'csr1.e30.e30' });
    expect([header, meta]).toEqual([undefined, undefined]);
    const other = await pay('checks', {}, { [KEY]: 'csr1.e30.e30' });
    expect(openReceipt(other.meta)).toMatchObject({ upstream: 'checks' });
  });

  it('gets none with what is not judged', async () => {
    const { header, meta } = await send('checks', 'tools/list', {});
    expect([header, meta]).toEqual([undefined, undefined]);
  });
});

describe('the agent', () => {
  it('gets none unasked', async () => {
    const { answer } = await pay('checks');
    expect(JSON.stringify(answer)).not.toContain('csr1.');
  });

  it.each(['checks', 'plain'])('gets one with the result of %s where it asks', async (to) => {
    const { answer, header } = await pay(to, {}, { [KEY]: true });
    const receipt = answer.result._meta[KEY];
    expect(openReceipt(receipt)).toMatchObject({ verdict: 'allow', upstream: to });
    expect(header).toBe(to === 'checks' ? receipt : undefined);
  });

  it('gets that of a blocked call with the decision', async () => {
    const { answer } = await pay('plain', { no: true }, { [KEY]: true });
    const { receipt } = answer.result._meta['countersign/decision'];
    expect(openReceipt(receipt)).toMatchObject({ verdict: 'block' });
  });

  it('gets none of an allowed call that did not reach the server', async () => {
    await gateway.upstream('gone', 'http://127.0.0.1:1/mcp', { tools: ['pay'] });
    const { answer } = await pay('gone', {}, { [KEY]: true });
    expect(answer.result.isError).toBe(true);
    expect(JSON.stringify(answer)).not.toContain('csr1.');
  });
});

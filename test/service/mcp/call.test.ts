// tools/call through the gateway, against an upstream that records what reaches it.

import { afterAll, beforeAll, expect, test } from 'vitest';

import { canonical } from '#contracts/json.ts';
import { sha256 } from '#contracts/record.ts';
import {
  type Gateway,
  type RecordingUpstream,
  startGateway,
  startRecorder,
} from '#test/support/gateway.ts';

let gateway: Gateway;
let upstream: RecordingUpstream;

beforeAll(async () => {
  gateway = await startGateway(`package countersign.policy
import rego.v1
decision := {"verdict": "block", "reason": "too_much", "message": "At most 100."} if input.call.arguments.amount > 100
else := {"verdict": "escalate"} if input.call.arguments.amount > 50
else := {"verdict": "allow"}
`);
  upstream = await startRecorder();
  await gateway.upstream('rec', upstream.url, { tools: ['pay'], secret: 'upstream-secret' });
});
afterAll(async () => {
  await upstream.close();
  await gateway.close();
});

const rpc = async (body: unknown, headers: Record<string, string> = {}) => {
  const response = await fetch(`${gateway.url}/mcp/rec`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...gateway.headers, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? undefined : JSON.parse(text),
  };
};

const pay = (args: string) =>
  `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"pay","arguments":${args}}}`;

test('an allowed call reaches the upstream with exactly the canonical arguments that were judged', async () => {
  const answer = await rpc(pay('{ "b": 1.50, "amount": 1e1, "a": "\\u00e9" }'));
  expect(answer.body).toEqual({
    jsonrpc: '2.0',
    id: 7,
    result: { resultType: 'complete', content: [{ type: 'text', text: 'done' }] },
  });
  const { text, headers } = upstream.received.at(-1)!;
  expect(text).toBe(
    '{"id":7,"jsonrpc":"2.0","method":"tools/call","params":{"arguments":{"a":"é","amount":10,"b":1.5},"name":"pay"}}',
  );
  const { params } = JSON.parse(text);
  expect(sha256(canonical(params.arguments))).toBe(sha256('{"a":"é","amount":10,"b":1.5}'));
  expect(headers.authorization).toBe('Bearer upstream-secret');
  const [outcome] = await gateway.outcomes();
  expect(outcome).toMatchObject({ status: 'executed', detail: { http_status: 200 } });
});

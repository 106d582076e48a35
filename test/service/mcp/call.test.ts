// tools/call through the gateway, against an upstream that records what reaches it.

import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { canonical, type Json } from '#contracts/json.ts';
import { decodeRecords, sha256 } from '#contracts/record.ts';
import {
  answerEmpty,
  type Gateway,
  modern,
  type RecordingUpstream,
  startGateway,
  startRecorder,
} from '#test/support/gateway.ts';

let gateway: Gateway;
let upstream: RecordingUpstream;

beforeAll(async () => {
  gateway = await startGateway(`package countersign.policy
import rego.v1
args := input.call.arguments
decision := {"verdict": "block", "reason": "too_much", "message": "At most 100 euros."} if args.amount > 100
else := {"verdict": "escalate"} if args.amount > 50
else := {"verdict": "allow", "obligations": [{"type": "redact", "paths": ["/card/number"]}]} if args.redact
else := {"verdict": "allow"}
`);
  upstream = await startRecorder((received, response) => {
    const { id, params } = JSON.parse(received.text);
    const { mode } = params.arguments;
    if (mode === undefined) return answerEmpty(received, response);
    if (mode === 'cut') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n');
      setTimeout(() => response.destroy(), 50);
      return;
    }
    if (mode === 'status') {
      response.writeHead(params.arguments.status, { 'www-authenticate': 'Bearer' }).end();
      return;
    }
    const answers: Record<string, object> = {
      error: { error: { code: -32602, message: 'no' } },
      failed: { result: { content: [], isError: true } },
      card: {
        result: {
          content: [{ type: 'text', text: '4711' }],
          structuredContent: { card: { number: '4711', holder: 'C' } },
        },
      },
    };
    response
      .writeHead(200, { 'content-type': 'application/json', 'set-cookie': 'a=b' })
      .end(JSON.stringify({ jsonrpc: '2.0', id, ...answers[mode] }));
  });
  await gateway.upstream('rec', upstream.url, {
    tools: ['pay'],
    secret: 'first-secret',
    receipts: false,
  });
  await gateway.upstream('nobody', 'http://127.0.0.1:1/mcp', { tools: ['pay'] });
});
afterAll(async () => {
  await upstream.close();
  await gateway.close();
});

const pay = (args: string) =>
  `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"pay","arguments":${args}}}`;

describe('an allowed call', () => {
  test('reaches the upstream with exactly the canonical arguments that were judged', async () => {
    const answer = await gateway.rpc('rec', pay('{ "b": 1.50, "amount": 1e1, "a": "\\u00e9" }'));
    expect(answer).toMatchObject({
      status: 200,
      body: {
        jsonrpc: '2.0',
        id: 7,
        result: { resultType: 'complete', content: [{ type: 'text', text: 'done' }] },
      },
    });
    const { text } = upstream.received.at(-1)!;
    expect(text).toBe(
      '{"id":7,"jsonrpc":"2.0","method":"tools/call","params":{"arguments":{"a":"é","amount":10,"b":1.5},"name":"pay"}}',
    );
    const forwarded = text.slice(text.indexOf('"arguments":') + 12, text.indexOf(',"name"'));
    expect(sha256(forwarded)).toBe(sha256(canonical(await judgedArguments())));
  });

  test.each([
    ['left out', '{"name":"pay"}'],
    ['null', '{"arguments":null,"name":"pay"}'],
  ])('goes on with no arguments where they are %s', async (_, params) => {
    await gateway.rpc('rec', `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":${params}}`);
    expect(JSON.parse(upstream.received.at(-1)!.text).params).toEqual({
      name: 'pay',
      arguments: {},
    });
    expect(await judgedArguments()).toEqual({});
  });

  test('carries our credential and nothing of the agent', async () => {
    await gateway.rpc('rec', pay('{}'), {
      'countersign-capability': '',
      cookie: 'session=1',
      'x-forwarded-for': '1.2.3.4',
    });
    const { headers } = upstream.received.at(-1)!;
    expect(headers.authorization).toBe('Bearer first-secret');
    expect(Object.keys(headers).sort()).toEqual(
      ['accept', 'authorization', 'connection', 'content-length', 'content-type', 'host'].sort(),
    );
    await gateway.rotate('rec', 'second-secret, longer');
    await gateway.rpc('rec', pay('{}'));
    expect(upstream.received.at(-1)!.headers.authorization).toBe('Bearer second-secret, longer');
  });

  test('loses our keys of _meta on the way, and keeps all others', async () => {
    const callId = randomUUID();
    const message = {
      jsonrpc: '2.0',
      id: 'x',
      method: 'tools/call',
      params: { name: 'pay', _meta: { 'countersign/call_id': callId, progressToken: 3 } },
    };
    await gateway.rpc('rec', message);
    expect(JSON.parse(upstream.received.at(-1)!.text).params).toEqual({
      name: 'pay',
      arguments: {},
      _meta: { progressToken: 3 },
    });
    const count = upstream.received.length;
    const again = await gateway.rpc('rec', message);
    expect(upstream.received.length).toBe(count);
    expect(again.body.result).toMatchObject({
      isError: true,
      _meta: { 'countersign/decision': { verdict: 'allow', repeated: true, call_id: callId } },
    });
  });

  test.each([
    ['executed', 'rec', '{}', 'executed', { http_status: 200 }],
    ['a tool that failed', 'rec', '{"mode":"failed"}', 'failed', { http_status: 200 }],
    ['an error of JSON-RPC', 'rec', '{"mode":"error"}', 'failed', { error_code: -32602 }],
    ['a connection lost midway', 'rec', '{"mode":"cut"}', 'unknown', {}],
    ['an upstream that refuses us', 'rec', '{"mode":"status","status":401}', 'failed', {}],
    ['an upstream that redirects', 'rec', '{"mode":"status","status":307}', 'failed', {}],
    ['an upstream that is not there', 'nobody', '{}', 'refused_late', {}],
  ])('leaves its outcome: %s', async (...[, to, args, status, detail]) => {
    const answer = await gateway.rpc(to, pay(args));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('set-cookie')).toBeNull();
    expect((await gateway.outcomes()).at(-1)).toMatchObject({ status, detail });
  });

  test('has what the policy demands redacted from its result, also from the text that repeats it', async () => {
    const { body } = await gateway.rpc('rec', pay('{"mode":"card","redact":true}'));
    expect(body.result).toEqual({
      content: [{ type: 'text', text: '{"card":{"number":"[redacted]","holder":"C"}}' }],
      structuredContent: { card: { number: '[redacted]', holder: 'C' } },
    });
  });
});

describe('a call that does not run', () => {
  test('is a tool result that the model can read when the policy blocks it', async () => {
    const count = upstream.received.length;
    const { status, body } = await gateway.rpc('rec', pay('{"amount":101}'));
    const decision = body.result._meta['countersign/decision'];
    expect({ status, count: upstream.received.length, result: body.result }).toEqual({
      status: 200,
      count,
      result: {
        isError: true,
        content: [
          {
            type: 'text',
            text:
              'This call was blocked and did not run. At most 100 euros. Change the call so that the policy allows ' +
              `it; repeating it unchanged will not help. [policy.blocked (too_much), decision ${decision.decision_id}]`,
          },
        ],
        _meta: {
          'countersign/decision': expect.objectContaining({
            verdict: 'block',
            policy_reason: 'too_much',
            recorded: { ref: expect.any(String), durability: 'power-cut' },
          }),
        },
      },
    });
  });

  test('says that its result is complete in the new era', async () => {
    const { body, headers } = modern('tools/call', { name: 'pay', arguments: { amount: 101 } });
    const answer = await gateway.rpc('rec', body, headers);
    expect(answer.body.result).toMatchObject({ resultType: 'complete', isError: true });
  });

  test.each([
    ['a tool that is not registered', '{"name":"wipe"}', 'tool.unknown'],
    ['a name of a governed method', '{"name":"mcp:tools/list"}', -32602],
    ['arguments that are no object', '{"name":"pay","arguments":[]}', -32602],
    ['no name', '{}', -32602],
  ])('%s', async (_, params, code) => {
    const count = upstream.received.length;
    const { body } = await gateway.rpc(
      'rec',
      `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`,
    );
    const reason = body.result?._meta['countersign/decision'].reason.code;
    expect([reason ?? body.error.code, upstream.received.length]).toEqual([code, count]);
  });

  test.each([
    ['a batch', '[{"jsonrpc":"2.0","id":1,"method":"ping"}]', 400, -32600],
    ['a key twice', '{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', 400, -32700],
    ['no JSON', '{', 400, -32700],
    ['another version', '{"jsonrpc":"1.0","id":1,"method":"ping"}', 400, -32600],
    ['an unknown method', '{"jsonrpc":"2.0","id":1,"method":"shell/run"}', 200, -32601],
    ['an unknown notification', '{"jsonrpc":"2.0","method":"shell/run"}', 200, -32601],
  ])('%s', async (_, body, status, code) => {
    const count = upstream.received.length;
    const answer = await gateway.rpc('rec', body);
    expect([answer.status, answer.body.error.code, upstream.received.length]).toEqual([
      status,
      code,
      count,
    ]);
  });

  test('an upstream that is not registered is not found', async () => {
    expect(await gateway.rpc('none', pay('{}'))).toMatchObject({
      status: 404,
      body: { id: 7, error: { code: -32600, data: { reason: { code: 'request.not_found' } } } },
    });
  });

  test('without an identity names where to get one', async () => {
    const answer = await gateway.rpc('rec', pay('{}'), { authorization: '' });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBe(
      `Bearer realm="countersign", resource_metadata="${gateway.url}/.well-known/oauth-protected-resource/mcp/rec"`,
    );
    expect(answer.body.error.data.reason.code).toBe('identity.missing');
    const metadata = await fetch(`${gateway.url}/.well-known/oauth-protected-resource/mcp/rec`);
    expect(await metadata.json()).toEqual({
      resource: `${gateway.url}/mcp/rec`,
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: expect.arrayContaining(['ES256', 'EdDSA']) as string[],
      tls_client_certificate_bound_access_tokens: true,
    });
  });
});

async function judgedArguments(): Promise<Json> {
  const { jsm } = gateway.world.operator;
  const { state } = await jsm.streams.info('DECISIONS');
  const message = await jsm.streams.getMessage('DECISIONS', { seq: state.last_seq });
  const [record] = decodeRecords(Buffer.from(message?.data ?? []).toString());
  return JSON.parse(record!.payload).sections.input.call.arguments;
}

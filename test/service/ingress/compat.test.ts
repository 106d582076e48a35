// POST /v1/mcp: a program written to IntentGate's published contract works against this gateway, once it is switched on.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Caveat } from '#contracts/capability/caveats.ts';
import { keyIdOf, sealKey } from '#contracts/compat.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { decodeRecords } from '#contracts/record.ts';
import {
  answerEmpty,
  type Gateway as Ours,
  type RecordingUpstream,
  startGateway,
  startRecorder,
} from '#test/support/gateway.ts';
import {
  attenuateV4,
  Gateway,
  GatewayError,
  mintV4,
  type ToolResult,
} from '#test/support/intentgate-client.ts';
import { pythonWith } from '#test/support/python-venv.ts';

const run = promisify(execFile);

const KEY = Buffer.alloc(16, 0x78);
const AGENT = 'old-agent';

let ours: Ours;
let upstream: RecordingUpstream;
beforeAll(async () => {
  ours = await startGateway(`package countersign.policy
import rego.v1
decision := {"verdict": "block", "reason": "too_much"} if input.call.arguments.amount > 100
else := {"verdict": "escalate"} if input.call.arguments.amount > 50
else := {"verdict": "block", "reason": "odd"} if input.intent.purpose == "Müller & Söhne bezahlen"
else := {"verdict": "allow", "obligations": [{"type": "redact", "paths": ["/card"]}]} if input.call.arguments.mode == "card"
else := {"verdict": "allow"}
`);
  upstream = await startRecorder((received, response) => {
    const { id, params } = JSON.parse(received.text);
    const { mode } = params.arguments;
    const say = (answer: object) => JSON.stringify({ jsonrpc: '2.0', id, ...answer });
    if (mode === 'stream') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n');
      response.end(`data: ${say({ result: { content: [], structuredContent: { a: 1 } } })}\n\n`);
    } else if (mode === 'error') {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(say({ error: { code: -32602, message: 'no' } }));
    } else if (mode === 'card') {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(say({ result: { content: [], structuredContent: { card: '4711', ok: 1 } } }));
    } else if (mode === 'cut') response.destroy();
    else answerEmpty(received, response);
  });
  await ours.upstream('shop', upstream.url, { tools: ['pay', 'read'], receipts: false });
  await ours.world.put(CONTROL_KEYS.tool(ours.world.tenant, '', 'nowhere'), { name: 'nowhere' });
  await ours.world.put(CONTROL_KEYS.agent(ours.world.tenant, AGENT), { class: 'old' });
});
afterAll(async () => {
  await upstream?.close();
  await ours?.close();
});

const compat = (value: object | null) =>
  ours.world.put(CONTROL_KEYS.compat(ours.world.tenant), value);
const switchOn = () => {
  const nonce = new Uint8Array(12);
  const sealed = sealKey(ours.world.capabilityMaster, ours.world.tenant, { key: KEY, nonce });
  return compat({ key_id: keyIdOf(KEY), sealed_key: sealed, token_tenant: 'default', route: true });
};
const token = (caveats: object[] = [], jti = 'root-1') =>
  mintV4(KEY, { jti, tenant: 'default', sub: AGENT }, caveats);
const program = (by = token()) => new Gateway(ours.url, by);

/** What a program of theirs meets: the result, or the class and code of its error. */
async function met(asked: Promise<ToolResult>): Promise<unknown> {
  try {
    return (await asked).metadata?.decision;
  } catch (error) {
    if (error instanceof GatewayError) return [error.name, error.code, error.data];
    return String(error);
  }
}
const eventually = (ask: () => Promise<ToolResult>, expected: unknown) =>
  expect.poll(() => met(ask())).toEqual(expected);

const refused = (code: number, name: string, words: string | RegExp) => [
  name,
  code,
  expect.stringMatching(words),
];

describe('before it is switched on', () => {
  it('there is no such route', async () => {
    expect(await met(program().tool('pay', {}))).toBe('Error: transport: HTTP 404');
  });

  it('an imported key alone does not open it', async () => {
    await compat({ token_tenant: 'default' });
    expect(await met(program().tool('pay', {}))).toBe('Error: transport: HTTP 404');
    await switchOn();
    await eventually(() => program().tool('pay', {}), 'allow');
  });
});

describe('a call', () => {
  it('is judged, forwarded and answered with what was decided', async () => {
    const { content, isError, metadata } = await program().tool('pay', { amount: 5 }, 'buy a hat');
    expect([content, isError, metadata]).toEqual([
      [{ type: 'text', text: 'done' }],
      false,
      { decision: 'allow', reason: 'forwarded', latency_ms: expect.any(Number) },
    ]);
    expect(JSON.parse(upstream.received.at(-1)?.text ?? '').params).toEqual({
      name: 'pay',
      arguments: { amount: 5 },
    });
    expect(upstream.received.at(-1)?.headers.authorization).toBeUndefined();
  });

  it('is recorded, marked as what it is, with its outcome', async () => {
    await program().tool('pay', { amount: 6 }, 'buy a hat');
    const { leaf, payload } = await lastDecision();
    expect(leaf).toMatchObject({
      via: 'compat',
      agent: AGENT,
      capability: { kind: 'compat', id: 'root-1', root: 'root-1' },
      verdict: 'allow',
      upstream: 'shop',
      forwards: true,
    });
    expect(payload.sections.evidence.identity.issuer).toBe('capability');
    expect(payload.sections.input.intent.purpose).toBe('buy a hat');
    const outcomes = await ours.outcomes();
    expect(outcomes.at(-1)).toMatchObject({ decision_id: leaf.id, status: 'executed' });
  });

  it.each<[name: string, ask: () => Promise<ToolResult>, expected: unknown]>([
    [
      'that the policy blocks',
      () => program().tool('pay', { amount: 101 }),
      refused(-32012, 'PolicyError', /too_much.*\[policy\.blocked\]/),
    ],
    [
      'for a purpose in other letters that the policy blocks',
      () => program().tool('pay', { amount: 1 }, 'Müller & Söhne bezahlen'),
      refused(-32012, 'PolicyError', /odd/),
    ],
    [
      'that is held',
      () => program().tool('pay', { amount: 60 }),
      [
        'ProtocolError',
        -32019,
        {
          pending_id: expect.any(String),
          status: 'pending',
          resume_header: 'X-IntentGate-Approval-Id',
        },
      ],
    ],
    [
      'of a tool that nobody registered',
      () => program().tool('drop', {}),
      refused(-32012, 'PolicyError', /tool\.unknown/),
    ],
    [
      'of a tool without a server',
      () => program().tool('nowhere', {}),
      ['ProtocolError', -32603, { detail: expect.stringContaining('nothing ran') }],
    ],
    [
      'whose server answers with an error',
      () => program().tool('pay', { mode: 'error' }),
      ['ProtocolError', -32602, undefined],
    ],
    [
      'whose server goes away',
      () => program().tool('pay', { mode: 'cut' }),
      ['ProtocolError', -32603, { detail: expect.any(String) }],
    ],
  ])('%s', async (_, ask, expected) => {
    expect(await met(ask())).toEqual(expected);
  });

  it('whose server answers with a stream is answered with one document', async () => {
    const { raw } = await program().tool('pay', { mode: 'stream' });
    expect(raw).toMatchObject({ structuredContent: { a: 1 }, _intentgate: { decision: 'allow' } });
  });

  it('is answered without what the policy has redacted', async () => {
    const { raw } = await program().tool('pay', { mode: 'card' });
    expect(raw['structuredContent']).toEqual({ card: '[redacted]', ok: 1 });
  });
});

describe('a token', () => {
  const inAnHour = () => Math.floor(Date.now() / 1_000) + 3_600;

  it('narrowed in their own encoding covers what it says', async () => {
    const narrow = attenuateV4(token(), [
      { t: 'tool_allow', tools: ['pay', 'Müller & <Söhne>'] },
      { t: 'exp', exp: inAnHour() },
      { t: 'max_calls', max_calls: 2 },
    ]);
    const asked = [];
    for (const tool of ['pay', 'read', 'pay', 'pay']) {
      asked.push(await met(program(narrow).tool(tool, { amount: 1 })));
    }
    expect(asked).toEqual([
      'allow',
      refused(-32010, 'CapabilityError', /capability\.tool_not_covered/),
      'allow',
      refused(-32013, 'BudgetError', /budget\.capability_exhausted/),
    ]);
  });

  it.each<[name: string, by: () => string | Promise<string>, words: RegExp]>([
    ['that has expired', () => token([{ t: 'exp', exp: 1_700_000_000 }]), /capability\.expired/],
    [
      'of another key',
      () => mintV4(Buffer.alloc(16, 1), { jti: 'x', tenant: 'default', sub: AGENT }),
      /signature mismatch/,
    ],
    [
      'of another tenant',
      () => mintV4(KEY, { jti: 'x', tenant: 'other', sub: AGENT }),
      /identity\.unknown_issuer/,
    ],
    [
      'of an agent that nobody registered',
      () => mintV4(KEY, { jti: 'x', tenant: 'default', sub: 'stranger' }),
      /identity\.unknown_agent/,
    ],
    [
      'of an agent that is bound to an issuer',
      () => mintV4(KEY, { jti: 'x', tenant: 'default', sub: 'shop-agent' }),
      /identity\.agent_issuer/,
    ],
    ['with calls that have no limit', () => token([{ t: 'max_calls', max_calls: 0 }]), /malformed/],
    ['that is none', () => 'abc', /identity\.malformed/],
  ])('%s is refused', async (_, by, words) => {
    expect(await met(program(await by()).tool('pay', { amount: 1 }))).toEqual(
      refused(-32010, 'CapabilityError', words),
    );
  });

  it('minted here counts as well, and is no compat token', async () => {
    const caveats: Caveat[] = [{ t: 'exp', exp: inAnHour() }];
    const native = await ours.world.mint(caveats, AGENT);
    expect(await met(program(native).tool('pay', { amount: 2 }))).toBe('allow');
    expect((await lastDecision()).leaf).toMatchObject({ capability: { kind: 'token' } });
  });

  it('is revoked by its id, with all that was made of it', async () => {
    const key = CONTROL_KEYS.revocation(ours.world.tenant, 'capability', 'root-9');
    const narrow = attenuateV4(token([], 'root-9'), [{ t: 'tool_allow', tools: ['pay'] }]);
    expect(await met(program(narrow).tool('pay', { amount: 1 }))).toBe('allow');
    await ours.world.put(key, { kind: 'capability', id: 'root-9' });
    await eventually(
      () => program(narrow).tool('pay', { amount: 1 }),
      refused(-32010, 'CapabilityError', /^token revoked/),
    );
  });

  it('is no identity anywhere else', async () => {
    const by = token();
    expect(await met(program(by).tool('pay', { amount: 1 }))).toBe('allow');
    const response = await fetch(`${ours.url}/v1/decisions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${by}` },
      body: '{"tool":"pay","arguments":{}}',
    });
    expect(response.status).toBe(401);
  });
});

describe('an envelope', () => {
  const post = async (body: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${ours.url}/v1/mcp`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${token()}`,
        ...headers,
      },
      body,
    });
    const text = await response.text();
    return [response.status, text === '' ? '' : JSON.parse(text)] as const;
  };
  const failed = (id: unknown, code: number) => [
    200,
    { jsonrpc: '2.0', id, error: expect.objectContaining({ code }) },
  ];
  const pay = (id: string, more = '') =>
    `{"jsonrpc":"2.0",${id}"method":"tools/call","params":{"name":"pay","arguments":{"amount":3}}${more}}`;

  it.each<[name: string, body: string, expected: unknown]>([
    ['that is no JSON', '{', failed(null, -32700)],
    ['that says something twice', pay('"id":1,"id":2,'), failed(null, -32700)],
    ['that is a batch', '[]', failed(null, -32600)],
    ['of another version', '{"jsonrpc":"1.0","id":1,"method":"ping"}', failed(null, -32600)],
    ['without a method', '{"jsonrpc":"2.0","id":1}', failed(null, -32600)],
    ['of a method nobody has', '{"jsonrpc":"2.0","id":1,"method":"x"}', failed(1, -32601)],
    [
      'of a call without params',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
      failed(1, -32602),
    ],
    [
      'of a call with odd arguments',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":[]}}',
      failed(1, -32602),
    ],
    [
      'of ping',
      '{"jsonrpc":"2.0","id":"a","method":"ping"}',
      [200, { jsonrpc: '2.0', id: 'a', result: {} }],
    ],
    [
      'of initialize',
      '{"jsonrpc":"2.0","id":1,"method":"initialize"}',
      [
        200,
        {
          jsonrpc: '2.0',
          id: 1,
          result: expect.objectContaining({ protocolVersion: '2025-03-26' }),
        },
      ],
    ],
  ])('%s', async (_, body, expected) => {
    expect(await post(body)).toEqual(expected);
  });

  it.each(['7', '"a"', '1.5', '{"a":[null]}', 'null'])('has its id back: %s', async (id) => {
    const [status, body] = await post(pay(`"id":${id},`));
    expect([status, body.id, body.error]).toEqual([200, JSON.parse(id), undefined]);
  });

  it('without an id is run, and answered with nothing', async () => {
    const before = upstream.received.length;
    expect(await post(pay(''))).toEqual([204, '']);
    expect(upstream.received.length).toBe(before + 1);
  });

  it('of tools/list names what the bearer may call', async () => {
    const narrow = attenuateV4(token(), [{ t: 'tool_allow', tools: ['read'] }]);
    const list = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
    const [, body] = await post(list, { authorization: `Bearer ${narrow}` });
    expect(body.result.tools).toEqual([
      { name: 'read', description: '', inputSchema: { type: 'object' } },
    ]);
  });

  it.each<[name: string, headers: Record<string, string>]>([
    ['no token', { authorization: '' }],
    ['another scheme', { authorization: 'Basic YTpi' }],
    ['a scheme in small letters', { authorization: `bearer ${'a'.repeat(20)}` }],
    ['a token for somebody else', { 'x-intentgate-obo': 'a.b' }],
  ])('with %s fails the capability check', async (_, headers) => {
    expect(await post(pay('"id":1,'), headers)).toEqual(failed(1, -32010));
  });
});

const PROGRAM = `
import json, sys
from intentgate import Gateway
from intentgate.capability import attenuate
from intentgate.exceptions import IntentGateError

url, token = sys.argv[1:]
child = attenuate(token, add_tools=["pay", "Müller & <Söhne>"], max_calls=2, expires_in_seconds=600)

def met(by, tool, arguments, prompt=None):
    try:
        with Gateway(url, by) as gateway:
            result = gateway.tool_call(tool, arguments, intent_prompt=prompt)
        return [result.intentgate.decision, [block.text for block in result.content]]
    except IntentGateError as error:
        return [type(error).__name__, error.code]

print(json.dumps([
    met(token, "pay", {"amount": 5}, "buy a hat"),
    met(token, "pay", {"amount": 500}),
    met(child, "read", {}),
    met(child, "pay", {"amount": 1}),
    met(child, "pay", {"amount": 1}),
    met(child, "pay", {"amount": 1}),
    met(token[:-4] + "AAAA", "pay", {"amount": 1}),
]))
`;

describe('the SDK that IntentGate publishes on PyPI, as it is', () => {
  it('calls, narrows, and raises its own errors', async ({ skip }) => {
    const sdk = await pythonWith(['intentgate==0.3.0']);
    if ('missing' in sdk) {
      console.warn(`intentgate 0.3.0 of PyPI is NOT tested: ${sdk.missing}`);
      return skip(sdk.missing);
    }
    await switchOn();
    // It puts its limit of calls before its expiry, so the token that it narrows has to expire.
    const exp = Math.floor(Date.now() / 1_000) + 3_600;
    const root = token([{ t: 'exp', exp }], 'root-of-pypi');
    await eventually(() => program(root).tool('read', {}), 'allow');
    const { stdout } = await run(sdk.python, ['-c', PROGRAM, ours.url, root]);
    expect(JSON.parse(stdout)).toEqual([
      ['allow', ['done']],
      ['PolicyError', -32012],
      ['CapabilityError', -32010],
      ['allow', ['done']],
      ['allow', ['done']],
      ['BudgetError', -32013],
      ['CapabilityError', -32010],
    ]);
  }, 150_000);
});

describe('what stops calls', () => {
  it('stops these: a kill switch', async () => {
    const key = CONTROL_KEYS.switch(ours.world.tenant, 'agent', AGENT);
    await ours.world.put(key, { scope: 'agent', id: AGENT });
    await eventually(
      () => program().tool('pay', { amount: 1 }),
      refused(-32010, 'CapabilityError', /^halted by kill switch/),
    );
    await ours.world.put(key, null);
    await eventually(() => program().tool('pay', { amount: 1 }), 'allow');
  });

  it('stops these: switching it off, at once, also for tokens that were proved before', async () => {
    await compat(null);
    await eventually(() => program().tool('pay', { amount: 1 }), 'Error: transport: HTTP 404');
  });
});

async function lastDecision() {
  const { jsm } = ours.world.operator;
  const { state } = await jsm.streams.info('DECISIONS');
  const message = await jsm.streams.getMessage('DECISIONS', { seq: state.last_seq });
  const record = decodeRecords(message?.string() ?? '').at(-1);
  return {
    leaf: JSON.parse(record?.leaf ?? '{}'),
    payload: JSON.parse(record?.payload ?? '{}'),
  };
}

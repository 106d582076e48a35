// The running system as seen from outside: what a record binds together, what metrics and traces say of a call, and
// whom its processes talk to.

import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { readState } from '#cli/local/run-state.ts';
import { statusOf } from '#cli/local/status.ts';
import { RECEIPT_KEYS_PATH } from '#contracts/receipt-key.ts';

import { modern } from '../support/gateway.ts';
import { type Live, startLive } from '../support/live.ts';

interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly attributes: readonly { key: string; value: { stringValue?: string } }[];
}

const spans: Span[] = [];
const receiver = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const bytes = Buffer.concat(chunks);
    const zipped = request.headers['content-encoding'] === 'gzip';
    const sent = JSON.parse((zipped ? gunzipSync(bytes) : bytes).toString('utf8'));
    for (const { scopeSpans } of sent.resourceSpans)
      for (const scope of scopeSpans) spans.push(...scope.spans);
    response.end('{}');
  });
});

let live: Live;
let identity: string;
let registered: unknown;
beforeAll(async () => {
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const { port } = receiver.address() as AddressInfo;
  const endpoint = `http://127.0.0.1:${port}`;
  live = await startLive({ env: () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }) });
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const keys = [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }];
  const issuer = 'https://hr.example';
  await live.admin('PUT', 'issuers/hr', { issuer, jwks: { keys }, audiences: ['countersign'] });
  // Who delegated has to be allowed what is done on its behalf.
  for (const agent of ['assistant-7', 'planner-3']) {
    const terms = { class: 'support', grant: { tools: ['**'] } };
    registered = (await live.admin('PUT', `agents/${agent}`, terms)).body['revision'];
  }
  identity = await new SignJWT({
    tenant: 'demo',
    act: { sub: 'assistant-7', act: { sub: 'planner-3' } },
    workflow: 'ticket-77',
    session_id: 'session-5',
    task_id: 'task-9',
    purpose: 'help Zoe',
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'k' })
    .setIssuer(issuer)
    .setAudience('countersign')
    .setSubject('zoe@example.com')
    .setExpirationTime('1h')
    .sign(privateKey);
});
afterAll(async () => {
  await live?.close();
  receiver.close();
});

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const callMcp = (tool: string, args: object) => {
  const request = modern('tools/call', {
    name: tool,
    arguments: args,
    _meta: { traceparent: `00-${TRACE}-b7ad6b7169203331-01` },
  });
  return live.request('POST', '/mcp/shop', {
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      authorization: `Bearer ${identity}`,
      ...request.headers,
    },
    body: JSON.stringify(request.body),
  });
};

it('a record binds person, agents, session, workflow, task and purpose to the call, and names both policies', async () => {
  const { body } = await live.call(
    { tool: 'lookup_order', arguments: { order_id: 'ord_1001' }, min_revision: registered },
    { authorization: `Bearer ${identity}`, 'countersign-capability': '' },
  );
  expect(body.verdict).toBe('allow');
  const path = `audit/${body.decision_id}?plain=true&why=test`;
  await expect.poll(async () => (await live.admin('GET', path)).status).toBe(200);
  const record = await live.admin('GET', path);
  const digest = expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string;
  expect(record.body['leaf']).toMatchObject({
    agent: 'assistant-7',
    facts_revision: expect.stringMatching(/^r\w+-\w+$/) as string,
    person: expect.stringMatching(/^p_[0-9a-f]{32}$/) as string,
    session: 'session-5',
    task: 'task-9',
    tool: 'lookup_order',
    upstream: 'shop',
    workflow: 'ticket-77',
    policies: [
      { role: 'floor', engine: 'rego', digest },
      { role: 'tenant', engine: 'rego', digest: (body['policy'] as { digest: string }).digest },
    ],
  });
  const { evidence, input } = JSON.parse(String(record.body['payload'])).sections;
  expect([evidence.person, evidence.identity.issuer]).toEqual(['zoe@example.com', 'hr']);
  expect(input.principal).toMatchObject({
    on_behalf_of: 'zoe@example.com',
    actors: ['assistant-7', 'planner-3'],
  });
  expect(input.intent).toMatchObject({ task: 'task-9', purpose: 'help Zoe' });
});

it('an MCP call is one trace from its _meta to the record, in the words of the conventions', async () => {
  const answer = await callMcp('lookup_order', { order_id: 'ord_1001' });
  expect(answer.status).toBe(200);
  const of = (name: string) =>
    spans.find((span) => span.name === name && span.traceId === TRACE)?.attributes ?? [];
  await expect.poll(() => of('decide').length, { timeout: 20_000 }).toBeGreaterThan(0);
  await expect.poll(() => of('ask decide').length, { timeout: 20_000 }).toBeGreaterThan(0);
  const told = Object.fromEntries(
    of('ask decide').map(({ key, value }) => [key, value.stringValue]),
  );
  expect(told).toMatchObject({
    'mcp.method.name': 'tools/call',
    'mcp.protocol.version': '2026-07-28',
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': 'lookup_order',
  });
  const chained = async () => (await live.rows()).some(({ entry }) => entry.includes(TRACE));
  await expect.poll(chained).toBe(true);
});

it('metrics have no labels that grow with tenants, agents, tools or ids', async () => {
  for (const tool of ['lookup_order', 'run_sql', 'made_up_tool']) await callMcp(tool, {});
  const { services } = await statusOf(live.system.dir);
  const health = readState(live.system.dir)?.processes ?? [];
  const ours = health.filter(({ readyUrl }) => readyUrl.endsWith('/readyz'));
  expect(ours.length).toBeGreaterThanOrEqual(4);
  const texts = await Promise.all(
    ours
      .filter(({ name }) => name !== 'shop')
      .map(async ({ readyUrl }) => (await fetch(new URL('/metrics', readyUrl))).text()),
  );
  const metrics = texts.join('\n');
  expect(metrics).toMatch(/^countersign_calls_total\{.*verdict="allow"/m);
  expect(metrics).toMatch(/^countersign_check_seconds_total\{.*check="policy"/m);
  const labels = new Set([...metrics.matchAll(/[{,](\w+)="/g)].map(([, name]) => name));
  for (const name of ['tenant', 'agent', 'tool', 'session', 'decision_id']) {
    expect(labels).not.toContain(name);
  }
  expect(metrics).not.toMatch(/demo|assistant-7|zoe|lookup_order|made_up_tool/);
  expect(services.every(({ ready }) => ready)).toBe(true);
});

it.skipIf(process.platform !== 'linux')('no process talks to anything but loopback', async () => {
  const { services } = await statusOf(live.system.dir);
  let connections = 0;
  for (const { name, pid } of services) {
    const remotes = await remotesOf(pid);
    connections += remotes.length;
    expect([name, remotes.filter((remote) => !LOOPBACK.test(remote))]).toEqual([name, []]);
  }
  expect(connections).toBeGreaterThan(10);
});

/** Loopback, or nobody yet, as the kernel prints it: 127.0.0.0/8, ::1, ::ffff:127.0.0.0/104, all zeros. */
const LOOPBACK = /^(0{8}|[0-9A-F]{6}7F|0{32}|0{24}01000000|0{16}FFFF0000[0-9A-F]{6}7F)$/;

/** Remote addresses of a process's TCP and UDP sockets, in the kernel's hexadecimal. */
async function remotesOf(pid: number): Promise<string[]> {
  const fds = await readdir(`/proc/${pid}/fd`);
  const links = await Promise.all(
    fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
  );
  const inodes = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []));
  const tables = ['tcp', 'tcp6', 'udp', 'udp6'].map((table) =>
    readFile(`/proc/${pid}/net/${table}`, 'utf8').catch(() => ''),
  );
  const lines = (await Promise.all(tables)).flatMap((table) => table.split('\n').slice(1));
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => inodes.has(fields[9] ?? ''))
    .map((fields) => fields[2]?.split(':')[0] ?? '');
}

it('the demo shop runs what came through us, and nothing for who only knows its address and credential', async () => {
  const through = await callMcp('lookup_order', { order_id: 'ord_1001' });
  expect(JSON.stringify(through.body)).toContain('carol@example.com');
  const { urls, secrets } = live.system;
  const { body, headers } = modern('tools/call', {
    name: 'lookup_order',
    arguments: { order_id: 'ord_1001' },
  });
  const direct = await fetch(urls.upstream, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      authorization: `Bearer ${(await readFile(secrets.upstreamTokenFile, 'utf8')).trim()}`,
      ...headers,
    },
    body: JSON.stringify(body),
  });
  expect([direct.status, ((await direct.json()) as Refused).error?.data?.code]).toEqual([
    403,
    'receipt.missing',
  ]);
});

interface Refused {
  readonly error?: { readonly data?: { readonly code?: string } };
}

it('admin and ingress list the same keys of receipts', async () => {
  const [admin, ingress] = await Promise.all(
    [live.system.urls.admin, live.system.urls.ingress].map(
      async (url) => (await fetch(url + RECEIPT_KEYS_PATH)).json() as Promise<{ keys: unknown[] }>,
    ),
  );
  expect(admin?.keys).toHaveLength(1);
  expect(admin).toEqual(ingress);
});

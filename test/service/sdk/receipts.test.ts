// Tool servers of the official SDKs behind the receipt guards: what came through Countersign runs, once; whoever calls
// them directly, with their address, their credential and even a receipt that was used, gets nothing.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { anyFreePort } from '#cli/local/ports.ts';
import { RECEIPT_KEYS_PATH } from '#contracts/receipt-key.ts';
import { openReceipt } from '#contracts/receipt.ts';
import { type Gateway, modern, startGateway } from '#test/support/gateway.ts';
import { pythonWith } from '#test/support/python-venv.ts';
import { hasPython, PYTHON_ENV } from '#test/support/sdk.ts';
import { readVectors } from '#test/support/vectors.ts';

import { Client } from '../../../sdk/typescript/src/index.ts';
import { guardHttp, guardMcp, ReceiptGuard } from '../../../sdk/typescript/src/receipts.ts';

/** A tool server behind a guard, and what reached and ran on it. */
interface Guarded {
  readonly url: string;
  /** Header of each request; '' = none. */
  readonly receipts: string[];
  readonly ran: object[];
  readonly close: () => Promise<void>;
}

const SECRET = 'known-to-everybody';
const SCHEMA = {
  type: 'object',
  properties: { amount: { type: 'integer' }, to: { type: 'string' } },
  required: ['amount', 'to'],
} as const;

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

async function typescriptServer(keys: string): Promise<Guarded> {
  const receipts: string[] = [];
  const ran: object[] = [];
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: 'guarded', version: '1' });
    const inputSchema = fromJsonSchema<{ amount: number; to: string }>(SCHEMA as never);
    server.registerTool('pay', { description: 'Pays.', inputSchema }, ({ amount, to }) => {
      ran.push({ amount, to });
      return { content: [{ type: 'text', text: `paid ${amount} to ${to}` }] };
    });
    return server;
  });
  const guard = new ReceiptGuard({ upstream: 'guarded', tenants: ['acme'], keys });
  const guarded = guardMcp(guard, toNodeHandler(handler) as never);
  const server = createServer((request, response) => {
    receipts.push(String(request.headers['countersign-receipt'] ?? ''));
    void guarded(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    receipts,
    ran,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await handler.close();
    },
  };
}

const python = await pythonWith(['mcp==2.3.0', 'cryptography==50.0.2']);
if ('missing' in python) {
  console.warn(`no Python with the MCP SDK (${python.missing}): its receipt guard is NOT tested`);
}

async function pythonServer(keys: string): Promise<Guarded> {
  if ('missing' in python) throw new Error(python.missing);
  const port = await anyFreePort();
  const script = join(CHECKOUT, 'test', 'support', 'guarded-server.py');
  const child = spawn(python.python, [script, String(port), keys], {
    env: { ...process.env, ...PYTHON_ENV },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const receipts: string[] = [];
  const ran: object[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const said = JSON.parse(line) as { receipt?: string; ran?: object };
    if (said.receipt !== undefined) receipts.push(said.receipt);
    if (said.ran !== undefined) ran.push(said.ran);
  });
  const url = `http://127.0.0.1:${port}/mcp`;
  while (child.exitCode === null && !(await answers(url))) await sleep(100);
  return {
    url,
    receipts,
    ran,
    close: async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}

const answers = (url: string) =>
  fetch(url, { method: 'POST', body: '{}' }).then(
    () => true,
    () => false,
  );

const ARGS = { amount: 5, to: 'é' };
const pay = (args: object = ARGS) => modern('tools/call', { name: 'pay', arguments: args });

const SERVERS: [string, (keys: string) => Promise<Guarded>, boolean][] = [
  ['TypeScript', typescriptServer, true],
  ['Python', pythonServer, !('missing' in python)],
];

describe.each(SERVERS)('an MCP server of the official %s SDK', (_, start, there) => {
  let server: Guarded;
  beforeAll(async () => {
    if (!there) return;
    server = await start(gateway.url + RECEIPT_KEYS_PATH);
    const tool = { name: 'pay', upstream: 'guarded', input_schema: SCHEMA };
    await gateway.upstream('guarded', server.url, { tools: [tool as never], secret: SECRET });
  });
  afterAll(() => server?.close());

  /** Straight to the server, with everything that an attacker could have found. */
  const direct = async (
    { body, headers }: { body: object; headers: Record<string, string> } = pay(),
    receipt = '',
  ) => {
    const response = await fetch(server.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        authorization: `Bearer ${SECRET}`,
        ...headers,
        ...(receipt === '' ? {} : { 'countersign-receipt': receipt }),
      },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    const [said = text] = text.match(/(?<=^data: ).*$/m) ?? [];
    const answer = JSON.parse(said === '' ? '{}' : said);
    return answer.error?.data?.code ?? answer.result?.content?.[0]?.text ?? answer;
  };
  const throughUs = async (args: object = ARGS) => {
    const { body, headers } = pay(args);
    return (await gateway.rpc('guarded', body, headers)).body.result?.content?.[0]?.text;
  };
  const decided = async (args: object) => {
    const identity = gateway.headers['authorization']?.slice('Bearer '.length) ?? '';
    const agent = new Client(gateway.url, { identity });
    return (await agent.ask('pay', args, { upstream: 'guarded', receipt: true })).receipt;
  };

  it.skipIf(!there)('runs what came through us, once', async () => {
    expect(await throughUs()).toBe('paid 5 to é');
    const receipt = server.receipts.at(-1) ?? '';
    expect(openReceipt(receipt)).toMatchObject({ tool: 'pay', verdict: 'allow', tenant: 'acme' });
    expect(await direct(pay(), receipt)).toBe('receipt.used');
    expect(server.ran).toEqual([ARGS]);
  });

  it.skipIf(!there)('runs nothing for who calls it directly', async () => {
    const before = server.ran.length;
    const spare = await decided(ARGS);
    const other = { amount: 5_000, to: 'é' };
    const listed = modern('resources/list');
    expect([
      await direct(),
      await direct(pay(), 'csr1.e30.e30'),
      await direct(pay(other), spare),
      await direct(listed),
      server.ran.length,
    ]).toEqual([
      'receipt.missing',
      'receipt.malformed',
      'receipt.other_call',
      'receipt.missing',
      before,
    ]);
    expect(await direct(pay(), spare)).toBe('paid 5 to é');
    expect(await direct(pay(), spare)).toBe('receipt.used');
  });

  it.skipIf(!there)('finds a receipt in _meta where a proxy lost the header', async () => {
    const receipt = await decided({ amount: 6, to: 'x' });
    const { body, headers } = modern('tools/call', {
      name: 'pay',
      arguments: { to: 'x', amount: 6 },
      _meta: { 'countersign/receipt': receipt },
    });
    expect(await direct({ body, headers })).toBe('paid 6 to x');
  });

  it.skipIf(!there)('knows the key of a worker that came later', async () => {
    const worker = await gateway.world.startWorker();
    try {
      const keys = new Set<string>();
      await expect
        .poll(async () => {
          expect(await throughUs()).toBe('paid 5 to é');
          keys.add(openReceipt(server.receipts.at(-1) ?? '')?.key ?? '');
          return keys.size;
        })
        .toBe(2);
    } finally {
      await worker.stop();
    }
  });
});

describe('a plain HTTP tool behind the guard', () => {
  it('runs what was decided, once', async () => {
    const ran: unknown[] = [];
    const guard = new ReceiptGuard({
      upstream: 'plain',
      tenants: ['acme'],
      keys: gateway.url + RECEIPT_KEYS_PATH,
    });
    const server = createServer((request, response) => {
      void guardHttp(
        guard,
        ({ url = '' }, body) => ({ tool: url.slice(1), arguments: body ?? {} }),
        (_, to, body) => {
          ran.push(body);
          to.end('{"done":true}');
        },
      )(request, response);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/pay`;
    await gateway.upstream('plain', url, { tools: ['pay'] });
    const asked = await fetch(`${gateway.url}/v1/decisions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...gateway.headers },
      body: JSON.stringify({ tool: 'pay', upstream: 'plain', arguments: ARGS, receipt: true }),
    });
    const { receipt } = (await asked.json()) as { receipt: string };
    const send = async (headers: Record<string, string>) => {
      const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(ARGS) });
      return [answer.status, ((await answer.json()) as { error?: { code: string } }).error?.code];
    };
    expect([
      await send({}),
      await send({ 'countersign-receipt': receipt }),
      await send({ 'countersign-receipt': receipt }),
      ran,
    ]).toEqual([[403, 'receipt.missing'], [200, undefined], [403, 'receipt.used'], [ARGS]]);
    server.close();
    server.closeAllConnections();
  });
});

const cryptography = hasPython('cryptography');
if (!cryptography) console.warn('python3 with cryptography is not there: vectors are NOT checked');

describe.skipIf(!cryptography)('the Python guard', () => {
  it('makes of every vector what it should', () => {
    const folder = join(CHECKOUT, 'test', 'vectors', 'receipts');
    const driver = join(CHECKOUT, 'test', 'support', 'receipts-driver.py');
    const env = { ...process.env, ...PYTHON_ENV };
    const expected = ['valid', 'invalid'].flatMap((kind) =>
      readVectors<{ expected: string }>(`receipts/${kind}`).map(([name, vector]) => [
        `${kind}/${name}`,
        vector.expected,
      ]),
    );
    const judged = JSON.parse(execFileSync('python3', [driver, folder], { env, encoding: 'utf8' }));
    expect(judged).toEqual(Object.fromEntries(expected));
  });
});

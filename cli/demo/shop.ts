/**
 * The demo upstream: a real MCP server (official SDK, both eras) of a small shop. It answers only to its own
 * credential, which the gateway holds and no agent ever sees; and even with that, no call runs without a receipt.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server';

import { canonical, type Json } from '#contracts/json.ts';
import { sha256 } from '#contracts/record.ts';

import { guardMcp, type Handler, ReceiptGuard } from '../../sdk/typescript/src/receipts.ts';
import { openShop, SHOP_TOOLS, ShopError, type ShopTool } from './shop-tools.ts';

const shop = openShop();
const credential = readFileSync(process.env['COUNTERSIGN_SHOP_TOKEN_FILE'] ?? '', 'utf8').trim();
/** Where each executed call is noted with the digest of its arguments, for tests; empty = nowhere. */
const journal = process.env['COUNTERSIGN_SHOP_JOURNAL'] ?? '';

function note(tool: string, args: Record<string, Json>): void {
  if (journal === '') return;
  appendFileSync(journal, `${JSON.stringify({ tool, args_hash: sha256(canonical(args)) })}\n`);
}

function register(server: McpServer, { name, title, description, inputSchema }: ShopTool): void {
  const schema = fromJsonSchema<Record<string, Json>>(inputSchema as never);
  server.registerTool(name, { title, description, inputSchema: schema }, (args) => {
    try {
      const result = shop.run(name, args);
      note(name, args);
      return { content: [{ type: 'text', text: JSON.stringify(result) }] };
    } catch (error) {
      if (!(error instanceof ShopError)) throw error;
      return { isError: true, content: [{ type: 'text', text: error.message }] };
    }
  });
}

const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'countersign-demo-shop', version: '1.0.0' });
  for (const tool of SHOP_TOOLS) register(server, tool);
  return server;
});
const guard = new ReceiptGuard({
  upstream: 'shop',
  tenants: ['demo'],
  keys: process.env['COUNTERSIGN_SHOP_KEYS_URL'] ?? { keys: [] },
});
// The SDK's structural types lack `undefined` where Node's own have it.
const serveMcp = guardMcp(guard, toNodeHandler(handler) as Handler);

function serve(request: IncomingMessage, response: ServerResponse): void {
  if (request.url === '/healthz' || request.url === '/readyz') {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"ready":true}\n');
  } else if (request.headers.authorization !== `Bearer ${credential}`) {
    response
      .writeHead(401, { 'content-type': 'application/json' })
      .end('{"error":"only the gateway may call here"}\n');
  } else {
    void serveMcp(request, response);
  }
}

const host = process.env['COUNTERSIGN_SHOP_HOST'] ?? '127.0.0.1';
const servers = [process.env['COUNTERSIGN_SHOP_PORT'], process.env['COUNTERSIGN_HEALTH_PORT']]
  .filter((port) => port !== undefined)
  .map((port) => createServer(serve).listen(Number(port), host));

const stop = () => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  void handler.close().then(() => process.exit(0));
};
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
process.on('disconnect', stop);

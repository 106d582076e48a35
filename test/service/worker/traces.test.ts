// A real OTLP/HTTP receiver gets one trace for a decision: the whole, its five checks, its recording.

import { createServer } from 'node:http';
import { gunzipSync } from 'node:zlib';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

interface SpanSeen {
  readonly name: string;
  readonly traceId: string;
  readonly parentSpanId?: string;
}

const seen: SpanSeen[] = [];
const receiver = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const bytes = Buffer.concat(chunks);
    const text = (
      request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes
    ).toString('utf8');
    const { resourceSpans } = JSON.parse(text) as {
      resourceSpans: { scopeSpans: { spans: SpanSeen[] }[] }[];
    };
    for (const { scopeSpans } of resourceSpans)
      for (const { spans } of scopeSpans) seen.push(...spans);
    response.end('{}');
  });
});

let world: World;
beforeAll(async () => {
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const address = receiver.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  world = await startWorld({ traces: `http://127.0.0.1:${port}` });
  await world.activate(ALLOW_ALL);
});
afterAll(async () => {
  await world.close();
  receiver.close();
});

it('joins the caller’s trace and names every stage', async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const capability = await world.mint([{ t: 'tool_allow', tools: ['lookup_order'] }]);
  await world.ask({ capability, traceparent: `00-${traceId}-b7ad6b7169203331-01` });
  await expect.poll(() => seen.length, { timeout: 15_000 }).toBeGreaterThanOrEqual(7);
  expect(new Set(seen.map((span) => span.traceId))).toEqual(new Set([traceId]));
  expect(seen.map(({ name }) => name).sort()).toEqual([
    'check budget',
    'check capability',
    'check identity',
    'check intent',
    'check policy',
    'decide',
    'record',
  ]);
  expect(seen.find(({ name }) => name === 'decide')?.parentSpanId).toBe('b7ad6b7169203331');
});

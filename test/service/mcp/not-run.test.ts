// An allowed call that cannot be carried out is told by a code of the table, and its outcome says what is known.

import { afterAll, beforeAll, expect, test } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import type { Reason } from '#contracts/reasons.ts';
import { modern, type RecordingUpstream, startRecorder } from '#test/support/gateway.ts';
import { allowed, startIngress, TENANT, type TestIngress } from '#test/support/ingress.ts';

let ingress: TestIngress;
let upstream: RecordingUpstream;
beforeAll(async () => {
  ingress = await startIngress();
  // The worker is newer than the ingress and demands what this one has never heard of, if the tool is called so.
  await ingress.standIn((calls, say) =>
    say(
      calls.map(({ envelope }) => {
        const answer = allowed(envelope);
        const obligations = envelope.tool === 'watermark' ? [{ type: 'watermark' }] : [];
        return answer.kind === 'decided'
          ? { ...answer, body: { ...answer.body, obligations } }
          : answer;
      }),
    ),
  );
  upstream = await startRecorder(({ text }, response) => {
    const { id, params } = JSON.parse(text) as { id: number; params: { name: string } };
    if (params.name === 'hang_up') response.destroy();
    else if (params.name === 'refuse') response.writeHead(401).end();
    else {
      const body = JSON.stringify({ jsonrpc: '2.0', id, result: { content: [] } });
      response.writeHead(200, { 'content-type': 'application/json' }).end(body);
    }
  });
  await ingress.put(CONTROL_KEYS.upstream(TENANT, 'there'), { url: upstream.url });
  await ingress.put(CONTROL_KEYS.upstream(TENANT, 'gone'), { url: 'http://127.0.0.1:1/mcp' });
});
afterAll(async () => {
  await upstream?.close();
  await ingress?.close();
});

const call = (to: string, tool: string, headers: Record<string, string> = {}) => {
  const request = modern('tools/call', { name: tool, arguments: {} });
  return ingress.post(`/mcp/${to}`, request.body, { ...request.headers, ...headers });
};

test.each<[name: string, to: string, tool: string, code: Reason, status: string, sent: number]>([
  ['an obligation nobody here knows', 'there', 'watermark', 'policy.obligation', 'refused_late', 0],
  ['no server', 'gone', 'look', 'service.upstream_unreachable', 'refused_late', 0],
  ['a server that hangs up', 'there', 'hang_up', 'service.upstream_away', 'unknown', 1],
  ['a server that refuses us', 'there', 'refuse', 'service.upstream_failed', 'failed', 1],
])('%s', async (...[, to, tool, code, status, sent]) => {
  const count = upstream.received.length;
  const { body } = await call(to, tool);
  expect(body['result']).toMatchObject({
    isError: true,
    content: [{ type: 'text', text: expect.stringContaining(`[${code}, decision `) as string }],
  });
  expect((await ingress.outcomes()).at(-1)?.leaf).toMatchObject({ status });
  expect(upstream.received.length - count).toBe(sent);
});

test('headers that say another call are refused before anybody judges', async () => {
  const { status, body } = await call('there', 'look', { 'mcp-name': 'delete_everything' });
  expect([status, body['error'].data.reason.code]).toEqual([400, 'request.header_mismatch']);
});

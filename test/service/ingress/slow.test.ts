// A sender that never comes to the end of its request holds a socket for some seconds and no longer.

import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';

import { expect, it } from 'vitest';

import { createLog } from '#host/log.ts';

import { createHttp, refuse } from '../../../services/ingress/http.ts';

it('is refused with its own code, and the socket is closed', async () => {
  const app = createHttp(
    {
      log: createLog('test', 'silent'),
      allowedOrigins: [],
      trustedProxies: [],
      onRefused: () => undefined,
    },
    (routes) => void routes.post('/', async (_, reply) => refuse(reply, 'service.failed')),
  );
  const url = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
  const socket = connect(Number(url.port), url.hostname);
  await once(socket, 'connect');
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Ty');
  const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n');
  await app.close();
  expect([head.split('\r\n')[0], JSON.parse(body)]).toEqual([
    'HTTP/1.1 408 Refused',
    { verdict: 'block', reason: expect.objectContaining({ code: 'request.timeout' }) as object },
  ]);
});

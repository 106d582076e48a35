// Servers that do nothing but answer: what HTTP and the bus cost by themselves. A process each.

import { createServer } from 'node:http';

import Fastify from 'fastify';

import { type BusOptions, connectBus } from '#host/nats.ts';

/** fastify: POST with a JSON body, parsed, answered. http: node:http alone, for the cost of the generator. */
export type EchoJob =
  | { readonly part: 'fastify' | 'http'; readonly port: number }
  | { readonly part: 'bus'; readonly bus: BusOptions; readonly subject: string };

const ANSWER = JSON.stringify({ verdict: 'allow', echo: 'x'.repeat(700) });

async function start(job: EchoJob): Promise<void> {
  switch (job.part) {
    case 'fastify': {
      const app = Fastify({ logger: false });
      app.post('/', (_request, reply) => reply.type('application/json').send(ANSWER));
      await app.listen({ host: '127.0.0.1', port: job.port });
      return;
    }
    case 'http': {
      const head = { 'content-type': 'application/json', 'content-length': ANSWER.length };
      const server = createServer((request, response) => {
        request.resume().once('end', () => response.writeHead(200, head).end(ANSWER));
      });
      await new Promise<void>((resolve) => server.listen(job.port, '127.0.0.1', resolve));
      return;
    }
    case 'bus': {
      const bus = await connectBus(job.bus);
      bus.subscribe(job.subject, {}, (message) => bus.publish(message.reply ?? '', message.data));
    }
  }
}

process.once('disconnect', () => process.exit(0));
process.once('message', (job: EchoJob) => void start(job).then(() => process.send?.('ready')));

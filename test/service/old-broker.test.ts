// A broker that is too old silently ignores what we rely on, so nothing starts on it. The broker here is real; a proxy
// between changes only the version that it announces.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { acceptsVersion, connectBus } from '#host/nats.ts';

import { startWorld, type World } from '../support/world.ts';

let world: World;
let proxy: Server;
let announced = '2.11.9';
const sockets = new Set<Socket>();

beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  const { port, hostname } = new URL(world.nats.url);
  proxy = createServer((client) => {
    const server = connect(Number(port), hostname);
    for (const socket of [client, server]) sockets.add(socket.on('error', () => undefined));
    client.pipe(server);
    // Every INFO is changed: the server sends another one after the login.
    server.on('data', (bytes: Buffer) => {
      const changed = bytes
        .toString('latin1')
        .replace(/"version":"[^"]+"/g, `"version":"${announced}"`);
      client.write(changed, 'latin1');
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  proxy.close();
  await world.close();
});

const throughProxy = () => {
  const address = proxy.address();
  return `nats://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
};
const options = () => ({
  url: throughProxy(),
  user: 'ingress',
  passwordFile: world.nats.passwordFile('ingress'),
  monitorUrl: world.nats.monitorUrl,
});

describe('a version', () => {
  it.each([
    ['2.9.10', false],
    ['2.11.9', false],
    ['2.12.11', false],
    ['2.12.12', true],
    ['2.13.9', false],
    ['2.14.0', true],
    ['2.15.2', true],
    ['3.0.0', true],
    ['2.14.0-RC.1', true],
    ['', false],
    ['nonsense', false],
  ])('%s is accepted: %s', (version, expected) => {
    expect(acceptsVersion(version)).toBe(expected);
  });
});

describe('a broker that is too old', () => {
  it('is refused at the start', async () => {
    announced = '2.11.9';
    await expect(connectBus(options())).rejects.toMatchObject({ code: 'too_old' });
  });

  it('ends a process that meets it after a reconnect', async () => {
    announced = '2.15.2';
    const script = `const { connectBus } = await import('#host/nats.ts'); await connectBus(${JSON.stringify(options())}); console.log('connected'); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: new URL('../..', import.meta.url).pathname,
    });
    await once(child.stdout, 'data');
    announced = '2.11.9';
    for (const socket of sockets) socket.destroy();
    const [code] = (await once(child, 'exit')) as [number];
    expect(code).not.toBe(0);
  });
});

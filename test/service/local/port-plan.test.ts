import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { planPorts } from '#cli/local/port-plan.ts';
import { anyFreePort } from '#cli/local/ports.ts';

let dir: string;
let stranger: Server;
let taken: number;
let free: number;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'countersign-ports-'));
  taken = await anyFreePort();
  free = await anyFreePort(new Set([taken, taken + 1]));
  stranger = createServer().listen(taken, '127.0.0.1');
  await new Promise((resolve) => stranger.once('listening', resolve));
  expect((stranger.address() as AddressInfo).port).toBe(taken);
});

afterEach(async () => {
  await new Promise((resolve) => stranger.close(resolve));
  await rm(dir, { recursive: true, force: true });
});

const plan = (usual: Record<string, number>, demanded: Record<string, number> = {}) =>
  planPorts(join(dir, 'ports.json'), {
    usual: new Map(Object.entries(usual)),
    from: 'usual',
    demanded,
  });

test('the usual port is taken where it is free, the next one where it is not', async () => {
  const ports = await plan({ ingress: free, admin: taken });
  expect(ports.get('ingress')).toBe(free);
  expect(ports.get('admin')).toBeGreaterThan(taken);
});

test('two names never share a port', async () => {
  const ports = await plan({ ingress: free, admin: free });
  expect(new Set(ports.values()).size).toBe(2);
});

test('the choice is kept over a start, even when the usual port is free again', async () => {
  const first = await plan({ admin: taken });
  await new Promise((resolve) => stranger.close(resolve));
  expect(await plan({ admin: taken })).toEqual(first);
});

test('a demanded port is taken as it is, or named when it cannot be had', async () => {
  const ports = await plan({ ingress: taken }, { ingress: free });
  expect(ports.get('ingress')).toBe(free);
  await expect(plan({ ingress: free }, { ingress: taken })).rejects.toThrow(
    `Port ${taken} for ingress is in use by another program.`,
  );
});

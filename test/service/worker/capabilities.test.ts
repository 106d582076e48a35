// Opened capabilities are kept, but not as many as a holder can make by narrowing its own.

import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, expect, it } from 'vitest';

import {
  attenuate,
  capabilityId,
  deriveTenantKey,
  mintCapability,
  verifyCapability,
} from '#contracts/capability.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import { mintedKey } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import { type Bus, connectBus, type KV } from '#host/nats.ts';

import { capabilityOpener } from '../../../services/decision-worker/points/capabilities.ts';
import { migrateStreams } from '../../../services/migrate/streams.ts';
import { startNats, type TestNats } from '../../support/servers.ts';

const tenant = 'acme' as TenantId;
const master = randomBytes(32);

let nats: TestNats;
let bus: Bus;
let keyed: KV;
beforeAll(async () => {
  nats = await startNats();
  bus = await connectBus({
    url: nats.url,
    user: 'operator',
    passwordFile: '',
    monitorUrl: nats.monitorUrl,
  });
  await migrateStreams(bus, { replicas: 1, shrink: 64 });
  keyed = await bus.bucket('keyed');
});
afterAll(async () => {
  await bus.close();
  await nats.stop();
});

async function mint(caveats: Caveat[]): Promise<{ token: string; forget: () => Promise<void> }> {
  const issuedAt = Math.floor(Date.now() / 1_000);
  const jti = capabilityId(issuedAt, randomBytes(12));
  const claims = { jti, issuer: 'i', tenant, zone: 'z', subject: 'a', issuedAt, notBefore: null };
  const key = deriveTenantKey(master, tenant);
  const token = mintCapability({ claims, caveats }, key);
  const verified = verifyCapability(token, [key]);
  if (!verified.ok) throw new Error(verified.code);
  const root = { signature_hash: verified.capability.links.at(-1), caveats: caveats.length };
  await keyed.put(mintedKey(tenant, jti), JSON.stringify(root));
  return { token, forget: () => keyed.delete(mintedKey(tenant, jti)) };
}

it('a capability is kept, until a flood of narrowed ones takes its place', async () => {
  const open = capabilityOpener([master], keyed);
  const opened = async (token: string) => {
    const capability = await open(tenant, token);
    return 'fault' in capability ? capability.fault : 'known';
  };
  const texts = Array.from({ length: 11 }, (_, n) => `${n}`.padEnd(1_000, 'x'));
  const root = await mint([{ t: 'tool_deny', tools: texts }]);
  expect(await opened(root.token)).toBe('known');
  await root.forget();
  expect(await opened(root.token)).toBe('known');

  const flood = await mint([{ t: 'tool_deny', tools: texts }]);
  for (let task = 0; task < 1_500; task += 1)
    await open(tenant, attenuate(flood.token, [{ t: 'task', task: `t-${task}` }]));
  expect(await opened(root.token)).toBe('capability.unknown_root');
});

// Which capabilities open: of every key in use, of a key that was imported; and how many opened ones are kept.

import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

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

import type { CapabilityPoints } from '../../../services/decision-worker/checks/capability.ts';
import { capabilityOpener } from '../../../services/decision-worker/points/capabilities.ts';
import type { ImportedKeyOf } from '../../../services/decision-worker/points/imported-keys.ts';
import { migrateStreams } from '../../../services/migrate/streams.ts';
import { startNats, type TestNats } from '../../support/servers.ts';

const tenant = 'acme' as TenantId;
const master = randomBytes(32);
const LATER: Caveat = { t: 'exp', exp: 4_000_000_000 };

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

async function mint(
  caveats: Caveat[],
  by = master,
): Promise<{ token: string; forget: () => Promise<void> }> {
  const issuedAt = Math.floor(Date.now() / 1_000);
  const jti = capabilityId(issuedAt, randomBytes(12));
  const claims = { jti, issuer: 'i', tenant, zone: 'z', subject: 'a', issuedAt, notBefore: null };
  const key = deriveTenantKey(by, tenant);
  const token = mintCapability({ claims, caveats }, key);
  const verified = verifyCapability(token, [key]);
  if (!verified.ok) throw new Error(verified.code);
  const root = { signature_hash: verified.capability.links.at(-1), caveats: caveats.length };
  await keyed.put(mintedKey(tenant, jti), JSON.stringify(root));
  return { token, forget: () => keyed.delete(mintedKey(tenant, jti)) };
}

const none: ImportedKeyOf = () => undefined;

/** What a capability is to whoever opens it. */
async function told(open: CapabilityPoints['open'], token: string): Promise<string> {
  const capability = await open(tenant, token);
  if ('fault' in capability) return capability.fault;
  return capability.held.kind === 'token' ? 'known' : capability.held.kind;
}

it('a key is replaced without a refused call: capabilities of the two before it still open', async () => {
  const [newest, before, oldest, retired] = [1, 2, 3, 4].map((fill) => Buffer.alloc(32, fill));
  const open = capabilityOpener([newest!, before!, oldest!], keyed, none);
  const answers = [];
  for (const by of [newest, before, oldest, retired]) {
    const { token } = await mint([], by!);
    answers.push(await told(open, token), await told(open, attenuate(token, [LATER])));
  }
  const known = Array<string>(6).fill('known');
  expect(answers).toEqual([...known, 'capability.signature', 'capability.signature']);
});

it('more than three keys are not taken', async () => {
  const open = capabilityOpener(Array<Uint8Array>(4).fill(master), keyed, none);
  await expect(open(tenant, (await mint([])).token)).rejects.toThrow('more capability keys');
});

it('a root that a key holder made up is none', async () => {
  const { token, forget } = await mint([]);
  await forget();
  expect(await told(capabilityOpener([master], keyed, none), token)).toBe(
    'capability.unknown_root',
  );
});

describe('a key that was imported', () => {
  const key = Buffer.alloc(16, 9);
  const foreign = (named: string, by: Uint8Array = key) => {
    const claims = { jti: 'j', issuer: 'intentgate', tenant: named, zone: 'default' };
    const lock: Caveat = { t: 'agent_lock', agent: 'a' };
    const issued = { ...claims, subject: 'a', issuedAt: 1_700_000_000, notBefore: null };
    return mintCapability({ claims: issued, caveats: [lock] }, by);
  };

  it('opens its tokens, marked, also narrowed ones, and is of this tenant from then on', async () => {
    const open = capabilityOpener([master], keyed, () => imported);
    const imported = { key, tokenTenant: 'default' };
    const token = foreign('default');
    expect(await told(open, token)).toBe('compat');
    expect(await open(tenant, attenuate(token, [LATER]))).toMatchObject({
      tenant: 'acme',
      subject: 'a',
      caveats: [{ t: 'agent_lock', agent: 'a' }, LATER],
    });
    expect(await told(open, (await mint([])).token)).toBe('known');
  });

  it('opens nothing else', async () => {
    const open = capabilityOpener([master], keyed, () => imported);
    const imported = { key, tokenTenant: 'default' };
    expect(await told(open, foreign('other'))).toBe('capability.wrong_tenant');
    expect(await told(open, foreign('default', Buffer.alloc(16, 8)))).toBe('capability.signature');
    expect(await told(open, `${foreign('default')}x`)).toBe('capability.malformed');
  });

  it('opens nothing before it is switched on, and nothing after', async () => {
    let imported: ReturnType<ImportedKeyOf>;
    const open = capabilityOpener([master], keyed, () => imported);
    const token = foreign('default');
    expect(await told(open, token)).toBe('capability.signature');
    imported = { key, tokenTenant: 'default' };
    expect(await told(open, token)).toBe('compat');
    imported = { key, tokenTenant: 'another' };
    expect(await told(open, token)).toBe('capability.wrong_tenant');
    imported = undefined;
    expect(await told(open, token)).toBe('capability.signature');
  });
});

it('a capability is kept, until a flood of narrowed ones takes its place', async () => {
  const open = capabilityOpener([master], keyed, none);
  const opened = (token: string) => told(open, token);
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

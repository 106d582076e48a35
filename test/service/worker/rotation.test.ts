// The master key of capabilities is replaced, worker by worker, while calls go on: none that should count is refused.

import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, expect, it } from 'vitest';

import {
  attenuate,
  capabilityId,
  CAPABILITY_KEYS_MAX,
  deriveTenantKey,
  mintCapability,
  verifyCapability,
} from '#contracts/capability.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import { mintedKey } from '#contracts/control.ts';
import type { Running } from '#host/run.ts';

import { start } from '../../../services/decision-worker/main.ts';
import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

const ROUNDS = 4;

let world: World;
beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  await world.activate(ALLOW_ALL);
});
afterAll(() => world?.close());

/** A capability as admin would mint it with this master key, narrowed by its holder. */
async function mint(master: Uint8Array): Promise<string> {
  const { tenant } = world;
  const issuedAt = Math.floor(Date.now() / 1_000);
  const jti = capabilityId(issuedAt, randomBytes(12));
  const key = deriveTenantKey(master, tenant);
  const issued = { jti, issuer: 'countersign', tenant, zone: 'default', issuedAt };
  const exp: Caveat = { t: 'exp', exp: issuedAt + 3_600 };
  const claims = { ...issued, subject: 'shop-agent', notBefore: null };
  const token = mintCapability({ claims, caveats: [exp] }, key);
  const verified = verifyCapability(token, [key]);
  if (!verified.ok) throw new Error(verified.code);
  const minted = { signature_hash: verified.capability.links.at(-1), caveats: 1 };
  const keyed = await world.operator.bucket('keyed');
  await keyed.put(mintedKey(tenant, jti), JSON.stringify(minted));
  return attenuate(token, [{ t: 'tool_allow', tools: ['lookup_order'] }]);
}

/** A worker that knows these master keys. */
async function worker(masters: readonly Uint8Array[]) {
  const keys = masters.map((key) => Buffer.from(key).toString('base64'));
  const name = `keys-${randomBytes(4).toString('hex')}`;
  const file = await world.file(name, JSON.stringify(keys));
  return start({ ...world.workerConfig(), COUNTERSIGN_CAPABILITY_KEYS_FILE: file });
}

const ask = async (capability: string): Promise<string> => {
  const answer = await world.ask({ capability });
  if (answer.kind === 'decided') return answer.body.reason.code;
  return answer.kind === 'refused' ? answer.code : answer.kind;
};

it('none is refused that a key in use signed, and none is taken of one that was taken away', async () => {
  let masters: Uint8Array[] = [randomBytes(32)];
  let crew: Running[] = await Promise.all([worker(masters), worker(masters)]);
  /** By master key, newest first: what was minted with it. */
  const minted = [await mint(masters[0]!)];
  const told = new Map<string, number>();
  let rotating = true;
  const calls = (async () => {
    while (rotating) {
      for (const token of minted.slice(0, CAPABILITY_KEYS_MAX)) {
        const code = await ask(token);
        // Its key may have been taken away meanwhile.
        if (minted.includes(token)) told.set(code, (told.get(code) ?? 0) + 1);
      }
    }
  })();

  for (let round = 0; round < ROUNDS; round += 1) {
    const fresh = randomBytes(32);
    // Workers first: nothing is signed with the new key before all of them know it. The third goes only after that.
    const next = [fresh, ...masters].slice(0, CAPABILITY_KEYS_MAX);
    const dropped = minted.splice(CAPABILITY_KEYS_MAX - 1);
    for (const [place, before] of crew.entries()) {
      crew = crew.with(place, await worker(next));
      await before.stop();
    }
    masters = next;
    minted.unshift(await mint(fresh));
    for (const token of dropped) expect(await ask(token)).toBe('capability.signature');
  }
  rotating = false;
  await calls;
  await Promise.all(crew.map(({ stop }) => stop()));
  expect([...told.keys()]).toEqual(['policy.allowed']);
  expect(told.get('policy.allowed')).toBeGreaterThan(ROUNDS);
}, 60_000);

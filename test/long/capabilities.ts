// Random chains that must only narrow, and forged capabilities that must not be accepted.

import { attenuate, mintCapability, verifyCapability } from '#contracts/capability.ts';
import type { VerifiedCapability } from '#contracts/capability.ts';
import { judgeCaveats, limits } from '#contracts/capability/judge.ts';
import { FORGERIES, type Forgery, MUTATIONS } from '#test/support/forged-capability.ts';
import { CLAIMS } from '#test/support/random-capability.ts';

import type { Job } from './main.ts';
import { dice, pools } from './random.ts';

const KEY = new Uint8Array(32).fill(7);

function verified(capability: string): VerifiedCapability {
  const result = verifyCapability(capability, [KEY]);
  if (!result.ok) throw new Error(`${result.code}: ${result.detail}: ${capability}`);
  return result.capability;
}

/** A child allows nothing that its parent refuses, and is counted where its parent is. */
export const chains: Job = async ({ runs, seed, onProgress }) => {
  const { roll, some, pick } = dice(seed);
  const { caveats, calls } = pools(seed);
  let allowed = 0;
  for (let run = 0; run < runs; run += 1) {
    const parent = mintCapability({ claims: CLAIMS, caveats: some(caveats, 3) }, KEY);
    let child = parent;
    for (let depth = roll(3); depth >= 0; depth -= 1) child = attenuate(child, some(caveats, 2));
    const [origin, narrowed] = [verified(parent), verified(child)];
    const call = pick(calls);
    if (judgeCaveats(narrowed, call) === null) {
      allowed += 1;
      if (judgeCaveats(origin, call) !== null)
        throw new Error(`wider than its parent: ${child} for ${JSON.stringify(call)}`);
    }
    const kept = limits(narrowed).slice(0, limits(origin).length);
    if (JSON.stringify(kept) !== JSON.stringify(limits(origin)))
      throw new Error(`counted less than its parent: ${child}`);
    await onProgress(run + 1);
  }
  // Else it says nothing.
  if (allowed * 1_000 < runs) throw new Error(`only ${allowed} children allowed anything`);
  return `${allowed} children allowed their call, and so did the parent of each`;
};

const KINDS = Object.keys(FORGERIES) as Forgery[];
const TOKENS = 2_000;

/** Nothing that somebody without the key makes of a capability is one. */
export const mutations: Job = async ({ runs, seed, onProgress }) => {
  const { roll, some, pick } = dice(seed);
  const { caveats } = pools(seed);
  const tokens = Array.from({ length: TOKENS }, () =>
    mintCapability({ claims: CLAIMS, caveats: some(caveats, 4) }, KEY),
  );
  const genuine = new Set(tokens);
  let read = 0;
  for (let run = 0; run < runs; run += 1) {
    const [capability, another, at] = [pick(tokens), pick(tokens), roll(2 ** 31)];
    // Every fourth in good form, so that only its signature can give it away.
    const forged =
      run % 4 === 0
        ? FORGERIES[pick(KINDS)]({ capability, another, other: [pick(caveats)], at })
        : pick(MUTATIONS)(capability, at % capability.length, roll(2 ** 16));
    await onProgress(run + 1);
    if (genuine.has(forged)) continue;
    const result = verifyCapability(forged, [KEY]);
    if (result.ok) throw new Error(`accepted: ${forged} made of ${capability}`);
    if (result.code === 'capability.signature') read += 1;
  }
  return `none accepted; ${read} were well formed and refused by their signature alone`;
};

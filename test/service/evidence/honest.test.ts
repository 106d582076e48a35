// No false alarm: a thousand random histories that are honest, each verified against an earlier checkpoint of its own.

import fc from 'fast-check';
import { expect, it } from 'vitest';

import { verifyExport } from '#contracts/verify-export.ts';
import { openCheckpoint } from '#contracts/witnessed.ts';
import { filesOf, OwnedLog } from '#test/support/owned-log.ts';

const step = fc.record({
  tenant: fc.constantFrom('acme', 'bolt', 'cork'),
  count: fc.integer({ min: 1, max: 4 }),
  seals: fc.boolean(),
});

it('a thousand honest histories are intact', { timeout: 120_000 }, async () => {
  const history = fc.array(step, { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(history, fc.nat(), async (steps, pick) => {
      const log = new OwnedLog();
      const held: number[] = [];
      for (const { tenant, count, seals } of steps) {
        log.append(tenant, count);
        if (!seals) continue;
        log.seal();
        held.push(log.leaves.length);
      }
      log.seal();
      const since = held[pick % Math.max(1, held.length)] ?? log.leaves.length;
      const { tenant } = steps[pick % steps.length]!;
      const rows = log.rows(tenant).length;
      const first = 1 + (pick % rows);
      const bounds = [first, first + (pick % (rows - first + 1))] as const;
      const part = pick % 2 === 0 ? { bounds } : {};
      const files = log.export(tenant, { since, payloads: pick % 3 === 0, ...part });
      const against = openCheckpoint(log.checkpoint(since), log.policy);
      expect(await verifyExport(filesOf(files), log.policy, against)).toMatchObject({
        verdict: 'intact',
      });
    }),
    { numRuns: 1_000 },
  );
});

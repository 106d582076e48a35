// Approval service, its database or its bucket away: nothing is wrongly allowed, nothing lost, nobody asked twice.
// COUNTERSIGN_OUTAGE_S sets for how long the database is away.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import type { Running } from '#host/run.ts';
import {
  type Approvals,
  eventually,
  HOLD_REFUNDS,
  startApprovals,
  told,
} from '#test/support/approvals.ts';

const OUTAGE_MS = Number(process.env['COUNTERSIGN_OUTAGE_S'] ?? 1) * 1_000;

let held: Approvals;
let service: Running;
beforeAll(async () => {
  held = await startApprovals({ services: 0 });
  service = await held.startService();
  await held.world.activate(HOLD_REFUNDS);
}, 120_000);
afterAll(async () => held?.close());

let number = 0;
const refund = () => ({ tool: 'refund_order', args: { amount: 5, order_id: `ord_${++number}` } });

/** Events of an approval in the stream: each once, however often it was tried. */
async function steps(id: string): Promise<string[]> {
  const { state } = await held.world.operator.jsm.streams.info('APPROVALS', {
    subjects_filter: `v1.approval.*.*.${id}`,
  });
  const subjects = state.subjects ?? {};
  expect(Object.values(subjects).every((count) => count === 1)).toBe(true);
  return Object.keys(subjects)
    .map((subject) => subject.split('.')[3] ?? '')
    .sort();
}

describe('while the service is away', () => {
  it('calls are held, repeats of them too, and one request comes of it all', async () => {
    await service.stop();
    const call = refund();
    const first = told(await held.world.ask(call));
    const again = told(await held.world.ask(call));
    expect([first[0], again[0]]).toEqual(['escalate', 'escalate']);
    service = await held.startService();
    const { approval_id: approval } = await held.until(first[2], 'pending');
    expect((await held.until(again[2], 'pending')).approval_id).toBe(approval);
    expect(await steps(approval)).toEqual(['held', 'reached']);
  });

  it('what was approved is still released, once', async () => {
    const call = refund();
    const [, , id] = told(await held.world.ask(call));
    await held.until(id, 'pending');
    await held.approve(id);
    await held.until(id, 'approved');
    await service.stop();
    expect(told(await held.world.ask(call))[0]).toBe('allow');
    expect(told(await held.world.ask(call)).slice(0, 2)).toEqual(['block', 'approval.used']);
    service = await held.startService();
    await eventually(async () => ((await held.entry(id))?.used === 1 ? true : undefined));
  });
});

describe('while the database is away', () => {
  it(
    'nobody can decide, and it goes on where it was',
    async () => {
      const call = refund();
      const [, , id] = told(await held.world.ask(call));
      await held.until(id, 'pending');
      const ready = refund();
      const [, , readyId] = told(await held.world.ask(ready));
      await held.approve(readyId);
      await held.until(readyId, 'approved');
      await held.postgres.kill();
      const back = Date.now() + OUTAGE_MS;
      const away: string[] = [];
      do {
        const [verdict, , asked] = told(await held.world.ask(refund()));
        expect(verdict).toBe('escalate');
        away.push(asked);
        expect(told(await held.world.ask(call))[0]).toBe('escalate');
        await sleep(100);
      } while (Date.now() < back);
      // What was approved before needs no database, and still runs once.
      expect(told(await held.world.ask(ready))[0]).toBe('allow');
      expect(told(await held.world.ask(ready)).slice(0, 2)).toEqual(['block', 'approval.used']);
      expect(await held.step(id, 'deny')).toMatchObject({ ok: false, fault: 'unavailable' });
      await held.postgres.restart();
      for (const asked of away) {
        await held.until(asked, 'pending');
        expect(await steps(asked)).toEqual(['held', 'reached']);
      }
      await eventually(async () => ((await held.entry(readyId))?.used === 1 ? true : undefined));
      await eventually(async () => ((await held.approve(id)).ok ? true : undefined));
      await held.until(id, 'approved');
      expect(told(await held.world.ask(call))[0]).toBe('allow');
    },
    90_000 + 2 * OUTAGE_MS,
  );
});

describe('an entry that is not there, or not ours', () => {
  it('leaves the call held', async () => {
    const call = refund();
    const [, , id] = told(await held.world.ask(call));
    await held.until(id, 'pending');
    await held.approve(id);
    await held.until(id, 'approved');
    const [row] = await held.query<{ binding: string }>(
      'select binding from approvals where id = $1',
      [id],
    );
    const bucket = await held.world.operator.bucket('approvals');
    const key = `call.${held.world.tenant}.${row?.binding}`;
    const sealed = (await bucket.get(key))?.string() ?? '';
    await bucket.put(key, sealed.replace('"used":0', '"used":1'));
    expect(told(await held.world.ask(call))[0]).toBe('escalate');
    await bucket.delete(key);
    expect(told(await held.world.ask(call))[0]).toBe('escalate');
    await bucket.put(key, sealed);
    expect(told(await held.world.ask(call))[0]).toBe('allow');
  });
});

describe('a process that is killed', () => {
  const spawned: ChildProcess[] = [];
  afterAll(async () => {
    for (const child of spawned) if (child.exitCode === null) child.kill('SIGKILL');
  });

  it('again and again, at any moment, loses nothing and asks nobody twice', async () => {
    await service.stop();
    const environment = await held.environment();
    const start = () => {
      const child = spawn(
        process.execPath,
        [join(CHECKOUT, 'services/approval-escalation/main.ts')],
        { env: { PATH: process.env['PATH'], ...environment }, stdio: 'ignore' },
      );
      spawned.push(child);
      return child;
    };
    // Whoever dies with a request never answers it; asking again is allowed at any time.
    const soon = <T>(asked: Promise<T>): Promise<T | undefined> =>
      Promise.race([asked.catch(() => undefined), sleep(1_000).then(() => undefined)]);
    const answers = async () => {
      const list = { ask: 'list', state: '', limit: 1, before: 0 } as const;
      return (await soon(held.ask<'list'>(list)))?.ok === true ? true : undefined;
    };
    const calls = Array.from({ length: 40 }, refund);
    const ids: string[] = [];
    let done = false;
    const killing = (async () => {
      // Not for ever: on a busy machine a life may be too short to get anything done.
      for (let kills = 0; kills < 10 && !done; kills++) {
        const child = start();
        await eventually(answers, 60_000); // however long such a machine takes to start it
        await sleep(Math.random() * 700);
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
      start();
    })();
    for (const call of calls) ids.push(told(await held.world.ask(call))[2]);
    for (const id of ids) {
      await eventually(async () => {
        const reply = await soon(held.approve(id));
        return reply?.ok === true && reply.value.state === 'approved' ? true : undefined;
      }, 240_000);
    }
    done = true;
    await killing;
    for (const [index, id] of ids.entries()) {
      await held.until(id, 'approved');
      expect(await steps(id)).toEqual(['approved', 'held', 'reached']);
      const call = calls[index] ?? refund();
      const releases = await Promise.all([held.world.ask(call), held.world.ask(call)]);
      expect(releases.map((answer) => told(answer)[0]).toSorted()).toEqual(['allow', 'block']);
    }
  }, 300_000);
});

// What an operator stops is stopped on every worker once the change is said to be visible, also while Postgres is away;
// a worker that starts later knows it.

import { readFile } from 'node:fs/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { attenuate, decodeCapability } from '#contracts/capability.ts';
import type { DrillReport } from '#contracts/drill.ts';
import { revocationIdOf } from '#contracts/stop.ts';

import { type Answer, type Live, startLive } from '../support/live.ts';

let live: Live;
beforeAll(async () => {
  live = await startLive({ replicas: { 'decision-worker': 2 } });
});
afterAll(() => live.close());

/** One after the other: calls of one turn go to one worker together. Two workers share these by chance. */
const CALLS = 24;
const call = { tool: 'lookup_order', arguments: { order_id: 'ord_1001' } };

/** The different answers of both workers, each of which knows the revision. */
async function answers(
  revision?: unknown,
  headers: Record<string, string> = {},
  more: object = {},
): Promise<readonly (string | undefined)[]> {
  const codes = new Set<string | undefined>();
  const asked = { ...call, ...more, ...(revision === undefined ? {} : { min_revision: revision }) };
  for (let n = 0; n < CALLS; n += 1) {
    const code = (await live.call(asked, headers)).body.reason?.code;
    // A busy machine may not answer, or hear, in time; that is a refusal, and says nothing about the stop.
    if (code !== 'service.timeout' && code !== 'service.behind') codes.add(code);
  }
  return [...codes];
}

const NONE: readonly string[] = [];
const changed = ({ status, body }: Answer): unknown => {
  expect([status < 300, body['visible']]).toEqual([true, true]);
  return body['revision'];
};

/** A release takes a second person. */
async function asGrace(path: string, body: object, tenant: string): Promise<Answer> {
  const files = live.system.seeded()?.demo.operator_token_files ?? NONE;
  const file = files.find((name) => name.includes('grace')) ?? '';
  const token = (await readFile(file, 'utf8')).trim();
  const url = new URL(`/v1/tenants/${tenant}/${path}`, live.system.urls.admin);
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

const demo = () => {
  const seeded = live.system.seeded()?.demo;
  if (seeded === undefined) throw new Error('the demo is not seeded');
  return seeded;
};

async function killAndRelease(scope: object, tenant: string): Promise<void> {
  const reason = 'incident 17';
  const killed = changed(await live.admin('POST', 'switches', { ...scope, reason }, tenant));
  expect(await answers(killed)).toEqual(['capability.killed']);
  const asked = changed(await live.admin('POST', 'switches/release', scope, tenant));
  const again = await live.admin('POST', 'switches/release', scope, tenant);
  expect([again.status, await answers(asked)]).toEqual([409, ['capability.killed']]);
  const released = changed(await asGrace('switches/release', scope, tenant));
  expect(await answers(released)).toEqual(['policy.allowed']);
}

/** A token narrowed once, which is revoked, and one narrowed from that only afterwards, which no worker has seen. */
async function revokeNarrowed(prefix: string): Promise<void> {
  const parent = (await readFile(demo().capability_file, 'utf8')).trim();
  const narrowed = attenuate(parent, [{ t: 'args', path: '/order_id', prefix }]);
  const decoded = decodeCapability(narrowed);
  if (!decoded.ok) throw new Error(decoded.code);
  const header = (capability: string) => ({ 'countersign-capability': capability });
  expect(await answers(undefined, header(narrowed))).toEqual(['policy.allowed']);
  const id = revocationIdOf(decoded.capability.signature);
  const body = { kind: 'capability', id, reason: 'leaked' };
  const revision = changed(await live.admin('POST', 'revocations', body));
  const unseen = attenuate(narrowed, [{ t: 'tool_allow', tools: ['lookup_*'] }]);
  expect(await answers(revision, header(narrowed))).toEqual(['capability.revoked']);
  expect(await answers(revision, header(unseen))).toEqual(['capability.revoked']);
  expect(await answers(revision)).toEqual(['policy.allowed']);
}

describe('on both workers', () => {
  it('a kill switch stops an agent, and two persons release it', async () => {
    await killAndRelease({ scope: 'agent', id: 'shop-agent' }, demo().tenant);
  });

  it('a revoked token falls with what was narrowed from it', async () => {
    await revokeNarrowed('ord_1');
  });

  it('stands in the chain with what each worker refused', async () => {
    const told = async () => {
      const rows = await live.rows();
      const leaves = rows.map(
        ({ entry }) => (JSON.parse(entry) as { body: { reason: string; worker?: string } }).body,
      );
      const killed = leaves.filter(({ reason }) => reason === 'capability.killed');
      return {
        changes: rows.filter(({ kind }) => /^control\.(switch|revocation)$/.test(kind)).length,
        workers: new Set(killed.map(({ worker }) => worker)).size,
      };
    };
    await expect.poll(told, { timeout: 20_000 }).toEqual({ changes: 4, workers: 2 });
    expect(await live.verify()).toBeUndefined();
  });
});

describe('a session', () => {
  const ask = async (revision: unknown, session_id: string) =>
    answers(revision, {}, { session_id });

  it('is stopped alone, on both workers', async () => {
    const scope = { scope: 'session', id: 'session-17' };
    const body = { ...scope, reason: 'loops' };
    const killed = changed(await live.admin('POST', 'switches', body));
    expect(await ask(killed, 'session-17')).toEqual(['capability.killed']);
    expect(await ask(killed, 'session-18')).toEqual(['policy.allowed']);
    await live.admin('POST', 'switches/release', scope);
    const released = changed(await asGrace('switches/release', scope, demo().tenant));
    expect(await ask(released, 'session-17')).toEqual(['policy.allowed']);
  });
});

describe('a drill', () => {
  const drill = async (within_ms = 10_000) => {
    const { status, body } = await live.admin(
      'POST',
      'switches/drill',
      { rounds: 3, within_ms, reason: 'weekly' },
      '_platform',
    );
    expect(status).toBe(200);
    return body as unknown as DrillReport;
  };

  it('is seen by every worker and ingress, stops nothing, and stands in the chain', async () => {
    const { processes, missed, rounds } = await drill();
    const named = (name: string) => processes.filter((one) => one.name.startsWith(name));
    expect([named('worker').length, named('ingress').length, named('admin').length]).toEqual([
      2, 1, 1,
    ]);
    expect([missed, rounds, new Set(processes.map(({ seen }) => seen))]).toEqual([
      [],
      3,
      new Set([3]),
    ]);
    expect(await answers()).toEqual(['policy.allowed']);
    const drills = async () =>
      (await live.rows('_platform')).filter(({ entry }) => entry.includes('"action":"drill"'))
        .length;
    await expect.poll(drills, { timeout: 20_000 }).toBe(3);
  });

  it('names the worker that does not see it', async () => {
    const [name = '', pid = 0] =
      Object.entries(live.system.pids()).find(([one]) => one.startsWith('decision-worker')) ?? [];
    process.kill(pid, 'SIGSTOP');
    try {
      const { missed, rounds, processes } = await drill(1_000);
      expect([missed.length, rounds]).toEqual([1, 1]);
      expect(processes.find((one) => one.name === missed[0])).toMatchObject({ seen: 0, ms: null });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    expect(name).not.toBe('');
    // What it missed it has seen by now; its beats are fresh again.
    await expect.poll(async () => (await drill()).missed).toEqual([]);
  });
});

describe('while Postgres is away', () => {
  beforeAll(() => live.system.halt('postgres'));
  afterAll(() => live.system.restart('postgres'));

  it('everything is stopped and released', async () => {
    await killAndRelease({ scope: 'global' }, '_platform');
  });

  it('a token is revoked', async () => {
    await revokeNarrowed('ord_10');
  });
});

describe('a worker that comes later', () => {
  it('knows what was stopped before', async () => {
    const scope = { scope: 'tool', id: 'lookup_order' };
    const body = { ...scope, reason: 'wrong amounts' };
    const killed = changed(await live.admin('POST', 'switches', body));
    const workers = Object.keys(live.system.pids()).filter((name) =>
      name.startsWith('decision-worker'),
    );
    for (const worker of workers) await live.system.restart(worker);
    expect([workers.length, await answers(killed)]).toEqual([2, ['capability.killed']]);
  });
});

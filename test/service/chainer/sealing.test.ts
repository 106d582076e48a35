// The tree over all chains: every row and every head is in it once and can be proved, whoever sealed and whoever died.

import { afterAll, beforeAll, expect, test } from 'vitest';

import { parseHash } from '#contracts/chain.ts';
import { type Checkpoint, parseCheckpoint } from '#contracts/checkpoint.ts';
import { leafHash, verifyConsistency, verifyInclusion } from '#contracts/merkle.ts';
import { NOTE_ED25519, openNote, showVerifierKey, verifierKeyOf } from '#contracts/note.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { treeLeaf } from '#contracts/tree-leaf.ts';
import { consistencyProof, inclusionProof, leafIndex } from '#host/tree-store.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import { decisionRecord, tenantOf } from '#test/support/records.ts';

import { introduceLogKey } from '../../../services/audit-chainer/log-key.ts';
import { seal } from '../../../services/audit-chainer/seal.ts';

let evidence: Evidence;
beforeAll(async () => {
  evidence = await startEvidence();
});
afterAll(() => evidence.stop());

const shard = SUBJECTS.decisionBatch(0);

async function store(tenants: readonly string[], count: number): Promise<void> {
  const records = Array.from({ length: count }, (_, at) =>
    decisionRecord(tenantOf(tenants[at % tenants.length]!)),
  );
  for (let at = 0; at < count; at += 100)
    await evidence.store('decision-worker', shard, records.slice(at, at + 100));
}

/** All checkpoints, smallest first, each with its signature checked. */
async function checkpoints(): Promise<Checkpoint[]> {
  const rows = await evidence.query<{ note: string }>('select note from checkpoints order by size');
  return rows.map(({ note }) => parseCheckpoint(openNote(note, [evidence.logKey])!.text)!);
}

/** Every leaf that the ranges tell of, proved under the last checkpoint. */
async function proveAll(): Promise<{ readonly leaves: number; readonly wrong: unknown[] }> {
  const last = (await checkpoints()).at(-1)!;
  const ranges = await evidence.query<{
    tenant: string;
    kind: 'entry' | 'head';
    first: string;
    count: string;
  }>('select tenant, kind, first_sequence as first, count from tree_ranges order by first_leaf');
  const wrong: unknown[] = [];
  let leaves = 0;
  for (const { tenant, kind, first, count } of ranges) {
    const rows = await evidence.rows(tenant);
    for (let sequence = Number(first); sequence < Number(first) + Number(count); sequence += 1) {
      const index = await leafIndex(evidence.pool, { tenant, kind, sequence });
      const hash = parseHash(rows[sequence - 1]!.hash)!;
      const proof = await inclusionProof(evidence.pool, index!, last.size);
      const claim = { leafHash: leafHash(treeLeaf({ kind, tenant, sequence, hash })), proof };
      if (index !== leaves || !verifyInclusion({ ...claim, index, tree: last }))
        wrong.push([tenant, kind, sequence, index, leaves]);
      leaves += 1;
    }
  }
  return { leaves, wrong };
}

test('every row and every head stands in the tree once, and each checkpoint continues the one before', async () => {
  const tenants = ['t1', 't2', 't3', 't4', 't5'];
  const chainers = [await evidence.startChainer(), await evidence.startChainer()];
  for (const count of [1, 7, 300, 500]) {
    await store(tenants, count);
    await evidence.drained();
    await evidence.sealed();
  }
  await Promise.all(chainers.map((chainer) => chainer.stop()));

  const all = await checkpoints();
  const [{ rows } = { rows: '' }] = await evidence.query<{ rows: string }>(
    'select count(*) as rows from chain_rows',
  );
  const { leaves, wrong } = await proveAll();
  expect(wrong).toEqual([]);
  expect(leaves).toBe(all.at(-1)?.size);
  expect(leaves).toBeGreaterThan(Number(rows));
  for (const [at, to] of all.entries()) {
    const from = all[at - 1];
    if (from === undefined) continue;
    const proof = await consistencyProof(evidence.pool, from.size, to.size);
    expect([to.size, verifyConsistency({ from, to, proof })]).toEqual([to.size, true]);
  }
}, 120_000);

test('a chainer that is killed between chain and tree leaves nothing out', async () => {
  for (let round = 0; round < 3; round += 1) {
    const chainer = await evidence.spawnChainer();
    await store(['killed', 't1'], 200);
    await expect
      .poll(() =>
        evidence
          .query("select from chain_rows where tenant = 'killed'")
          .then((rows) => rows.length),
      )
      .toBeGreaterThan(round * 100);
    await chainer.end('SIGKILL');
  }
  const chainer = await evidence.startChainer();
  await evidence.drained();
  await evidence.sealed();
  await chainer.stop();
  expect((await proveAll()).wrong).toEqual([]);
}, 120_000);

test('a hole in a chain is not sealed', async () => {
  const signer = { name: 'log.example/test', type: NOTE_ED25519, seed: Buffer.alloc(32) };
  await evidence.query(
    "insert into heads (tenant, sequence, hash) values ('holed', 2, decode(repeat('11', 32), 'hex'))",
  );
  await expect(seal(evidence.pool, signer, {})).rejects.toThrow(
    '2 rows are missing from the chains',
  );
  await evidence.query('alter table heads disable trigger heads_stay');
  await evidence.query("delete from heads where tenant = 'holed'");
  await evidence.query('alter table heads enable trigger heads_stay');
});

test('a key that replaces another is written down, once, and an event of the platform', async () => {
  const signer = { name: 'log.example/test', type: NOTE_ED25519, seed: Buffer.alloc(32, 5) };
  await introduceLogKey(evidence, signer);
  await introduceLogKey(evidence, signer);
  const keys = await evidence.query<{ vkey: string }>('select vkey from log_keys order by at');
  const vkey = showVerifierKey(verifierKeyOf(signer));
  expect(keys.map((key) => key.vkey)).toEqual([showVerifierKey(evidence.logKey), vkey]);
  const events = (await evidence.rows('_platform')).map(
    ({ entry }) => (JSON.parse(entry) as { body: object }).body,
  );
  expect(events).toEqual([
    expect.objectContaining({
      action: 'replace_log_key',
      target: vkey,
      reason: `after ${showVerifierKey(evidence.logKey)}`,
    }),
  ]);
});

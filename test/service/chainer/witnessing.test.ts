// Checkpoints and their witnesses: ours and a stranger's cosign, a record is proved by itself, and whatever is wrong with
// a witness is told while the chains go on.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { anyFreePort } from '#cli/local/ports.ts';
import { showVerifierKey } from '#contracts/note.ts';
import { checkRecordProof, RECORD_PROOF_BYTES_MAX } from '#contracts/record-proof.ts';
import type { SealedCheckpoint } from '#contracts/sealed.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { parseWitnessPolicy } from '#contracts/witness-policy.ts';
import { openCheckpoint } from '#contracts/witnessed.ts';
import type { Running } from '#host/run.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import {
  type ForeignWitness,
  foreignWitness,
  startForeignWitness,
} from '#test/support/foreign-witness.ts';
import { decisionRecord, tenantOf } from '#test/support/records.ts';
import { type WitnessFolder, witnessFolder } from '#test/support/witness.ts';

import { proofReads } from '../../../services/admin/proof-reads.ts';
import { start as startChainer } from '../../../services/audit-chainer/main.ts';
import { type RunningWitness, start as startWitness } from '../../../services/witness/main.ts';
import { witnessFiles } from '../../../services/witness/make.ts';
import { openStore } from '../../../services/witness/store.ts';

const program = await foreignWitness();

let evidence: Evidence;
let folder: WitnessFolder;
let witness: RunningWitness;
let foreign: ForeignWitness | undefined;
let policy: string;
let healthPort: number;
const running: Running[] = [];

beforeAll(async () => {
  evidence = await startEvidence();
  const vkey = showVerifierKey(evidence.logKey);
  folder = await witnessFolder([vkey]);
  witness = await startWitness({
    ...folder.config,
    COUNTERSIGN_WITNESS_PORT: await anyFreePort(),
  });
  foreign = program === undefined ? undefined : await startForeignWitness(program, vkey);
  policy = [
    `log ${vkey}`,
    `witness own ${folder.vkey} http://127.0.0.1:${witness.port}`,
    ...(foreign === undefined ? [] : [`witness other ${foreign.vkey} ${foreign.url}/`]),
    `group all all own${foreign === undefined ? '' : ' other'}`,
    'quorum all',
    '',
  ].join('\n');
  await writeFile(join(folder.dir, 'policy'), policy);
  healthPort = await anyFreePort();
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
});
afterAll(async () => {
  foreign?.stop();
  await witness.stop();
  await folder.remove();
  await evidence.stop();
});

async function startOne(): Promise<void> {
  running.push(
    await startChainer({
      ...evidence.config,
      COUNTERSIGN_WITNESS_POLICY_FILE: join(folder.dir, 'policy'),
      COUNTERSIGN_HEALTH_PORT: healthPort,
    }),
  );
}

/** Stores a decision; gives its id. */
async function decide(tenant: string): Promise<string> {
  const record = decisionRecord(tenantOf(tenant));
  await evidence.store('decision-worker', SUBJECTS.decisionBatch(0), [record]);
  return (JSON.parse(record.leaf) as { readonly id: string }).id;
}

async function whileWaiting<T>(look: () => Promise<T>, done: (seen: T) => boolean): Promise<T> {
  let seen = await look();
  await expect
    .poll(async () => done((seen = await look())), { timeout: 30_000, interval: 50 })
    .toBe(true);
  return seen;
}

interface Told {
  readonly witnesses: readonly { readonly witness: string; readonly fault: string }[];
}

/** What /readyz says of our own witness. */
async function faultOfOwn(): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${healthPort}/readyz`);
  const { witnesses } = (await answer.json()) as Told;
  return witnesses.find((each) => each.witness === 'own')?.fault ?? '';
}

const reads = () => {
  const pool = new pg.Pool({ connectionString: evidence.databaseUrl('countersign_admin') });
  return { ...proofReads(pool), end: async () => pool.end() };
};

test('every witness of the policy cosigns, a record is proved by itself, and only to its tenant', async () => {
  await startOne();
  const id = await decide('acme');
  await decide('other');
  const admin = reads();
  try {
    const found = await whileWaiting(
      async () => admin.proof('acme', id),
      ({ kind }) => kind === 'proof',
    );
    const text = found.kind === 'proof' ? found.text : '';
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(RECORD_PROOF_BYTES_MAX);
    const checked = checkRecordProof(text, parseWitnessPolicy(policy));
    expect(checked).toMatchObject({
      holds: true,
      row: { tenant: 'acme', entry: { body: { id, kind: 'decision' } } },
      under: { witnessed: true },
    });
    expect(await admin.proof('other', id)).toEqual({ kind: 'unknown' });

    const note = (await admin.checkpoint()) ?? '';
    const opened = openCheckpoint(note, parseWitnessPolicy(policy));
    expect(opened?.cosigners.map((each) => each.witness).toSorted()).toEqual(
      foreign === undefined ? ['own'] : ['other', 'own'],
    );
    const size = opened?.checkpoint.size ?? 0;
    expect(await admin.consistency(1, size)).toBeDefined();
    expect(await admin.consistency(1, size + 1_000_000)).toBeUndefined();
  } finally {
    await admin.end();
  }
});

test('every witnessed checkpoint is in the feed once, in order, also after a restart', async () => {
  await startOne();
  await decide('acme');
  const fed = async () => {
    const sizes: number[] = [];
    const { state } = await evidence.bus.jsm.streams.info('SEALED');
    for (let seq = 1; seq <= state.last_seq; seq += 1) {
      const message = await evidence.bus.jsm.direct.getMessage('SEALED', { seq });
      const event = message?.json<SealedCheckpoint>();
      const opened = openCheckpoint(event?.note ?? '', parseWitnessPolicy(policy));
      expect(opened?.checkpoint.size).toBe(event?.size);
      sizes.push(event?.size ?? 0);
    }
    return sizes;
  };
  const witnessed = async () => {
    const rows = await evidence.query<{ size: string }>(
      'select size from checkpoints where witnessed_at is not null order by size',
    );
    return rows.map(({ size }) => Number(size));
  };
  await evidence.drained();
  await evidence.sealed();
  const all = await witnessed();
  expect(all.length).toBeGreaterThan(1);
  expect(await whileWaiting(fed, (sizes) => sizes.length >= all.length)).toEqual(all);
});

test('without a witness the chains grow on; it is told, and made up for when the witness is back', async () => {
  await startOne();
  await witness.stop();
  const id = await decide('acme');
  await evidence.drained();
  expect(await whileWaiting(faultOfOwn, (fault) => fault !== '')).toMatch(/ECONNREFUSED|connect/);
  const admin = reads();
  try {
    expect(await admin.proof('acme', id)).toEqual({ kind: 'not_sealed' });
    witness = await startWitness({
      ...folder.config,
      COUNTERSIGN_WITNESS_PORT: witness.port,
    });
    await whileWaiting(
      async () => admin.proof('acme', id),
      ({ kind }) => kind === 'proof',
    );
    expect(await whileWaiting(faultOfOwn, (fault) => fault === '')).toBe('');
  } finally {
    await admin.end();
  }
});

test('a witness that has seen another tree, or more of it, never cosigns again and says why', async () => {
  const seen = async (size: number) => {
    await witness.stop();
    const store = openStore(witnessFiles(folder.dir).store, folder.vkey);
    store.advance(evidence.logKey.name, () => ({ keep: { size, root: Buffer.alloc(32, 7) } }));
    store.close();
    witness = await startWitness({ ...folder.config, COUNTERSIGN_WITNESS_PORT: witness.port });
  };
  await startOne();
  await seen(1);
  await decide('acme');
  expect(await whileWaiting(faultOfOwn, (fault) => fault !== '')).toMatch(
    /does not continue the one that it has seen/,
  );
  await seen(1_000_000);
  expect(await whileWaiting(faultOfOwn, (fault) => fault.includes('1000000'))).toMatch(
    /this database is older than what was witnessed/,
  );
});

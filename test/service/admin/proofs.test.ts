// Proofs over HTTP: each tenant its own and nobody else's; what concerns the whole log for operators of all tenants only.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { ADMIN_ERRORS } from '#contracts/admin-errors.ts';
import { parseCheckpoint } from '#contracts/checkpoint.ts';
import { verifyConsistency } from '#contracts/merkle.ts';
import { openNote, showVerifierKey } from '#contracts/note.ts';
import { checkRecordProof, RECORD_PROOF_BYTES_MAX } from '#contracts/record-proof.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { parseWitnessPolicy } from '#contracts/witness-policy.ts';
import { type AdminWorld, type Person, startAdminWorld } from '#test/support/admin.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import { decisionRecord, freshDecisionId, tenantOf } from '#test/support/records.ts';

const acme = Array.from({ length: 300 }, () => decisionRecord(tenantOf('acme')));
const other = decisionRecord(tenantOf('other'));

const proofPath = (tenant: string, id: string): string => `/v1/tenants/${tenant}/audit/${id}/proof`;

let evidence: Evidence;
let world: AdminWorld;
let folder: string;
let url: string;

beforeAll(async () => {
  [evidence, world] = await Promise.all([startEvidence(), startAdminWorld()]);
  folder = await mkdtemp(join(tmpdir(), 'countersign-proofs-'));
  const chainer = await evidence.startChainer();
  const shard = SUBJECTS.decisionBatch(0);
  for (let at = 0; at < acme.length; at += 100)
    await evidence.store('decision-worker', shard, acme.slice(at, at + 100));
  await evidence.store('decision-worker', shard, [other]);
  await evidence.drained();
  await evidence.sealed();
  await chainer.stop();
  const databaseUrl = join(folder, 'database.url');
  await writeFile(databaseUrl, evidence.databaseUrl('countersign_admin'));
  ({ url } = await world.startAdmin({
    COUNTERSIGN_DATABASE_URL_FILE: databaseUrl,
    COUNTERSIGN_AT_REST_KEYS_FILE: evidence.config.COUNTERSIGN_AT_REST_KEYS_FILE,
  }));
});
afterAll(async () => {
  await world.close();
  await evidence.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Got {
  readonly status: number;
  readonly type: string | null;
  readonly text: string;
}

async function get(path: string, as: Person | 'nobody'): Promise<Got> {
  const headers = as === 'nobody' ? {} : { authorization: `Bearer ${world.token(as)}` };
  const response = await fetch(new URL(path, url), { headers });
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    text: await response.text(),
  };
}

const code = ({ text }: Got): string =>
  (JSON.parse(text) as { readonly error: { readonly code: string } }).error.code;

const policy = () => parseWitnessPolicy(`log ${showVerifierKey(evidence.logKey)}\nquorum none\n`);

describe('the proof of a record', () => {
  test('holds for each record of the tenant, and is small', async () => {
    for (const { id } of [acme[0]!, acme[137]!, acme[299]!]) {
      const { status, type, text } = await get(proofPath('acme', id), 'vera');
      expect({ status, type }).toEqual({ status: 200, type: 'text/plain; charset=utf-8' });
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(RECORD_PROOF_BYTES_MAX);
      const checked = checkRecordProof(text, policy());
      expect(checked).toMatchObject({
        holds: true,
        row: { tenant: 'acme', entry: { body: { id } } },
      });
    }
  });

  test.each([
    ['a record of another tenant', proofPath('acme', other.id), 'tom', 'thing.not_found'],
    ['another tenant', proofPath('other', other.id), 'tom', 'operator.tenant'],
    [
      'another tenant, by its own record',
      proofPath('other', acme[0]!.id),
      'vera',
      'thing.not_found',
    ],
    ['an unknown decision', proofPath('acme', freshDecisionId()), 'vera', 'thing.not_found'],
    ['no id', proofPath('acme', 'x'), 'vera', 'request.not_found'],
    ['nobody', proofPath('acme', acme[0]!.id), 'nobody', 'operator.missing'],
  ] as const)('%s gets none', async (_, path, as, expected) => {
    const got = await get(path, as);
    expect([got.status, code(got)]).toEqual([ADMIN_ERRORS[expected].status, expected]);
  });
});

describe('the log as a whole', () => {
  test.each(['/v1/log/checkpoint', '/v1/log/consistency?from=1&to=2'])(
    '%s is for operators of all tenants',
    async (path) => {
      const statuses = await Promise.all(
        (['ada', 'olga', 'vera', 'tom', 'nobody'] as const).map(
          async (as) => (await get(path, as)).status,
        ),
      );
      expect(statuses).toEqual([200, 200, 403, 403, 401]);
    },
  );

  test('the newest checkpoint continues any older tree', async () => {
    const { text } = await get('/v1/log/checkpoint', 'olga');
    const now = parseCheckpoint(openNote(text, [evidence.logKey])!.text)!;
    const checkpoints = await evidence.query<{ size: string; root: Uint8Array }>(
      'select size, root from checkpoints order by size',
    );
    expect(checkpoints.length).toBeGreaterThan(0);
    for (const { size, root } of checkpoints) {
      const from = { size: Number(size), root };
      const got = await get(`/v1/log/consistency?from=${size}&to=${now.size}`, 'olga');
      const { proof } = JSON.parse(got.text) as { readonly proof: readonly string[] };
      const hashes = proof.map((hash) => Buffer.from(hash, 'base64'));
      expect(verifyConsistency({ from, to: now, proof: hashes })).toBe(true);
    }
  });

  test.each(['from=2&to=1', 'from=1&to=1000000', 'from=1000000'])(
    '%s: no such sizes',
    async (query) => {
      const got = await get(`/v1/log/consistency?${query}`, 'olga');
      expect([got.status, code(got)]).toEqual([422, 'audit.size']);
    },
  );
});

test('what is chained and not sealed yet has no proof yet', async () => {
  const id = freshDecisionId();
  // A row that the tree does not hold, as it is for a moment behind each append.
  await evidence.query(
    `insert into chain_rows (tenant, sequence, kind, record_id, decision_id, agent, verdict, at,
       source_stream, source_epoch, source_sequence, source_index, entry, hash)
     select tenant, 301, kind, $1, $1, agent, verdict, at, source_stream, 'later', source_sequence, source_index,
       entry, hash
     from chain_rows where tenant = 'acme' and sequence = 1`,
    [id],
  );
  const got = await get(proofPath('acme', id), 'vera');
  expect([got.status, code(got)]).toEqual([409, 'audit.not_sealed']);
});

// The protocol of https://c2sp.org/tlog-witness against our witness, spoken by hand over HTTP.
import { request } from 'node:http';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { noteOf, openNote, parseVerifierKey, type VerifierKey } from '#contracts/note.ts';
import { type Past, smallLog } from '#test/support/small-log.ts';
import { type WitnessFolder, witnessFolder } from '#test/support/witness.ts';

import { type RunningWitness, start } from '../../../services/witness/main.ts';

const log = smallLog('log.example/one');
const other = smallLog('log.example/two');
const FORK: Past = { name: 'fork', from: 0 };
/** Differs only behind what was witnessed. */
const LATE: Past = { name: 'late', from: 7 };

let folder: WitnessFolder;
let witness: RunningWitness;
let key: VerifierKey;

beforeAll(async () => {
  folder = await witnessFolder([log.vkey, other.vkey]);
  key = parseVerifierKey(folder.vkey) ?? expect.unreachable();
  witness = await start(folder.config);
});
afterAll(async () => {
  await witness.stop();
  await folder.remove();
});

interface Answered {
  readonly status: number;
  readonly type: string | null;
  readonly body: string;
}

async function post(body: string | Uint8Array, path = '/add-checkpoint'): Promise<Answered> {
  const response = await fetch(`http://127.0.0.1:${witness.port}${path}`, {
    method: 'POST',
    body: Buffer.from(body),
  });
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    body: await response.text(),
  };
}

/** The size that a refusal names. */
const conflict = (size: number): Answered => ({
  status: 409,
  type: 'text/x.tlog.size',
  body: `${size}\n`,
});

function expectCosigned(answered: Answered, checkpoint: string): void {
  expect(answered).toMatchObject({ status: 200 });
  const text = checkpoint.slice(0, checkpoint.lastIndexOf('\n\n') + 1);
  const opened = openNote(noteOf(text, [answered.body]), [key]);
  expect(opened?.text).toBe(text);
  expect(Math.abs((opened?.signatures[0]?.seconds ?? 0) - Date.now() / 1_000)).toBeLessThan(60);
}

describe('a log that grows', () => {
  test('is cosigned at each size, again for the same tree, and at no other place of its past', async () => {
    expect(await post(log.request(3, 5))).toEqual(conflict(0));
    expectCosigned(await post(log.request(0, 5)), log.checkpoint(5));
    expectCosigned(await post(log.request(5, 5)), log.checkpoint(5));
    expectCosigned(await post(log.request(5, 7)), log.checkpoint(7));
    expect(await post(log.request(5, 9))).toEqual(conflict(7));
    expect(await post(log.request(0, 9))).toEqual(conflict(7));
    expect(await post(log.request(0, 3))).toEqual(conflict(7));
    expectCosigned(await post(log.request(7, 64)), log.checkpoint(64));
    expectCosigned(await post(log.request(64, 65)), log.checkpoint(65));
  });

  test('is one log among others', async () => {
    expectCosigned(await post(other.request(0, 2)), other.checkpoint(2));
    expect(await post(log.request(2, 70))).toEqual(conflict(65));
  });
});

describe('a log that shows two pasts', () => {
  const forked = smallLog('log.example/three');
  beforeAll(async () => {
    await folder.know([log.vkey, other.vkey, forked.vkey]);
    expectCosigned(await post(forked.request(0, 7)), forked.checkpoint(7));
  });

  test.each([
    ['another tree of the same size', forked.request(7, 7, FORK), 409],
    ['a larger tree that continues another', forked.request(7, 12, FORK), 422],
    ['its proof is of the right tree', withProof(12, forked.consistency(7, 12), FORK), 422],
    ['no proof', withProof(12, [], LATE), 422],
    ['a proof with one hash too many', withProof(12, [...proof(), zeros()], LATE), 422],
    ['a proof with one hash missing', withProof(12, proof().slice(1), LATE), 422],
    ['a proof in another order', withProof(12, proof().toReversed(), LATE), 422],
    ['a proof for the same tree', withProof(7, [zeros()], LATE), 422],
  ])('%s', async (_, body, status) => {
    const answered = await post(body);
    expect(answered).toMatchObject({ status });
    expect(answered.type).not.toBe('text/x.tlog.size');
    expect(answered.body).not.toContain('\u2014');
  });

  test('is cosigned on when it goes on as it was', async () => {
    expectCosigned(await post(forked.request(7, 12, LATE)), forked.checkpoint(12, LATE));
  });

  function proof(): string[] {
    return forked.consistency(7, 12, LATE);
  }
  function withProof(to: number, lines: readonly string[], past: Past): string {
    return ['old 7', ...lines, '', forked.checkpoint(to, past)].join('\n');
  }
});

const zeros = () => Buffer.alloc(32).toString('base64');

describe('requests that are refused', () => {
  const stranger = smallLog('log.example/stranger');
  const impostor = smallLog(log.origin);
  const good = log.request(65, 66);
  const [old = '', ...rest] = good.split('\n');
  const withOld = (line: string) => [line, ...rest].join('\n');
  const [signature = ''] = good.split('\n').slice(-2);
  test.each([
    ['nothing', '', 400],
    ['no empty line', old, 400],
    ['no old size', rest.join('\n'), 400],
    ['an old size with a leading zero', withOld('old 065'), 400],
    ['an old size with a sign', withOld('old +65'), 400],
    ['a negative old size', withOld('old -1'), 400],
    ['two blanks', withOld('old  65'), 400],
    ['another word', withOld('new 65'), 400],
    ['an old size that nobody has', withOld('old 99999999999999999999'), 400],
    ['an old size above the tree', withOld('old 67'), 400],
    ['carriage returns', good.replaceAll('\n', '\r\n'), 400],
    ['a line that is no hash', [old, 'AAAA', ...rest].join('\n'), 400],
    ['base64 for addresses', [old, zeros().replace('A=', '_='), ...rest].join('\n'), 400],
    ['64 lines of proof', [old, ...Array.from({ length: 64 }, zeros), ...rest].join('\n'), 400],
    ['bytes that are no text', Buffer.concat([Buffer.from(good), Buffer.of(0xff)]), 400],
    ['an unknown log', stranger.request(0, 1), 404],
    ['a known name with another key', impostor.request(65, 66), 403],
    ['no signature', good.replace(`${signature}\n`, ''), 403],
    ['a signature under another tree', good.replace('\n66\n', '\n67\n'), 403],
    ['a body without end', `${good}${'x'.repeat(200 * 1024)}`, 413],
  ])('%s', async (_, body, status) => {
    expect(await post(body)).toMatchObject({ status });
  });

  test('another path or method', async () => {
    expect(await post(good, '/')).toMatchObject({ status: 404 });
    const get = await fetch(`http://127.0.0.1:${witness.port}/add-checkpoint`);
    expect(get.status).toBe(405);
  });

  test('and the log goes on after all of them', async () => {
    const both = log
      .request(65, 66)
      .replace(/$/, stranger.checkpoint(66).split('\n').at(-2) + '\n');
    expectCosigned(await post(both), log.checkpoint(66));
  });
});

test('an empty tree is cosigned only as the empty tree, and may become anything once', async () => {
  const fresh = smallLog('log.example/empty');
  await folder.know([log.vkey, fresh.vkey]);
  expectCosigned(await post(fresh.request(0, 0)), fresh.checkpoint(0));
  expectCosigned(await post(fresh.request(0, 3)), fresh.checkpoint(3));
});

test('a new key of a log counts from when its line is in the file, and the old one no longer when it is not', async () => {
  const rotated = smallLog(log.origin);
  const again = () => [log.request(66, 66), withKeyOf(rotated)] as const;
  await folder.know([log.vkey, rotated.vkey]);
  for (const body of again()) expect(await post(body)).toMatchObject({ status: 200 });
  await folder.know([rotated.vkey]);
  const [before, after] = again();
  expect(await post(before)).toMatchObject({ status: 403 });
  expect(await post(after)).toMatchObject({ status: 200 });

  function withKeyOf(signer: typeof rotated): string {
    return ['old 66', '', signer.checkpoint(66)].join('\n');
  }
});

test('a file of logs that cannot be read keeps the last one in force', async () => {
  await folder.know([log.vkey]);
  expect(await post(log.request(66, 66))).toMatchObject({ status: 200 });
  await folder.know(['nonsense']);
  expect(await post(log.request(66, 66))).toMatchObject({ status: 200 });
});

test('a request that does not end takes nothing from others', async () => {
  const hanging = request({
    port: witness.port,
    host: '127.0.0.1',
    path: '/add-checkpoint',
    method: 'POST',
    headers: { 'content-length': '1000' },
  });
  hanging.on('error', () => {});
  hanging.write('old 66\n');
  await folder.know([log.vkey]);
  expect(await post(log.request(66, 67))).toMatchObject({ status: 200 });
  hanging.destroy();
});

// kill -9 and second starts while two pasts of one log are submitted at once: whatever happens, no two trees of one size
// are ever cosigned, and none that does not continue what was cosigned before. COUNTERSIGN_TEST_KILLS makes it longer.
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { openNote, parseVerifierKey, type VerifierKey } from '#contracts/note.ts';
import { ConfigError } from '#host/config.ts';
import { type Past, smallLog } from '#test/support/small-log.ts';
import {
  type WitnessFolder,
  witnessFolder,
  type WitnessProcess,
  witnessProcess,
} from '#test/support/witness.ts';

import { start } from '../../../services/witness/main.ts';
import { makeWitness, witnessFiles } from '../../../services/witness/make.ts';
import { openStore } from '../../../services/witness/store.ts';

const KILLS = Number(process.env['COUNTERSIGN_TEST_KILLS'] ?? 4);

const log = smallLog('log.example/killed');
let folder: WitnessFolder;
let key: VerifierKey;
const processes: WitnessProcess[] = [];

beforeEach(async () => {
  folder = await witnessFolder([log.vkey]);
  key = parseVerifierKey(folder.vkey) ?? expect.unreachable();
});
afterEach(async () => {
  await Promise.all(processes.splice(0).map(({ kill }) => kill()));
  await folder.remove();
});

async function startOne(): Promise<WitnessProcess> {
  const started = await witnessProcess(folder);
  processes.push(started);
  return started;
}

interface Cosigned {
  readonly size: number;
  readonly past: string;
}

interface Owner {
  readonly past: Past;
  readonly to: () => string;
  readonly cosigned: Cosigned[];
  readonly stopped: AbortSignal;
}

/** One past of the log, which grows as the witness lets it until it is stopped. */
async function grow({ past, to, cosigned, stopped }: Owner): Promise<void> {
  for (let from = 0; !stopped.aborted;) {
    const size = from + 1 + (cosigned.length % 3);
    const answered = await submit(to(), log.request(from, size, past));
    if (answered === undefined) await sleep(2);
    else if (answered.status === 409) from = Number(answered.body) || from;
    if (answered?.status !== 200) {
      // The other past may be ahead: try a fork of exactly this size too.
      await submit(to(), log.request(from, from, past));
      continue;
    }
    const note = log.checkpoint(size, past) + answered.body;
    expect(openNote(note, [key])?.signatures).toHaveLength(1);
    cosigned.push({ size, past: past.name });
    from = size;
  }
}

/** The answer, undefined where the witness was killed under it. */
async function submit(
  url: string,
  body: string,
): Promise<{ readonly status: number; readonly body: string } | undefined> {
  try {
    const response = await fetch(`${url}/add-checkpoint`, { method: 'POST', body });
    return { status: response.status, body: await response.text() };
  } catch {
    return undefined;
  }
}

test('killed again and again, it never cosigns two pasts', async () => {
  let witness = await startOne();
  const cosigned: Cosigned[] = [];
  const end = new AbortController();
  const owner = (name: string): Owner => ({
    past: { name, from: 0 },
    to: () => witness.url,
    cosigned,
    stopped: end.signal,
  });
  const growing = ['a', 'b'].map(async (name) => grow(owner(name)));
  for (let kill = 0; kill < KILLS; kill += 1) {
    const before = cosigned.length;
    await expect.poll(() => cosigned.length, { timeout: 20_000 }).toBeGreaterThan(before + 5);
    await witness.kill();
    witness = await startOne();
  }
  end.abort();
  await Promise.all(growing);
  expectOnePast(cosigned);
});

test('two processes on one store are one witness', async () => {
  const both = [await startOne(), await startOne()];
  const cosigned: Cosigned[] = [];
  const end = new AbortController();
  const growing = both.flatMap(({ url }) =>
    ['a', 'b'].map(async (name) =>
      grow({ past: { name, from: 0 }, to: () => url, cosigned, stopped: end.signal }),
    ),
  );
  await expect.poll(() => cosigned.length, { timeout: 20_000 }).toBeGreaterThan(40);
  end.abort();
  await Promise.all(growing);
  expectOnePast(cosigned);
});

/** Whose past came first is chance; then it is the only one. */
function expectOnePast(cosigned: readonly Cosigned[]): void {
  expect(new Set(cosigned.map(({ past }) => past)).size).toBe(1);
}

test('between the look at the last tree and the write of the next, nobody else writes', () => {
  const { store } = witnessFiles(folder.dir);
  const [one, another] = [openStore(store, folder.vkey), openStore(store, folder.vkey)];
  const tree = (size: number) => ({ keep: { size, root: Buffer.alloc(32, size) } });
  const meanwhile = () => another.advance(log.origin, () => tree(9));
  expect(() =>
    one.advance(log.origin, () => {
      meanwhile();
      return tree(4);
    }),
  ).toThrow(/locked/);
  expect(one.all()).toEqual(new Map());
  meanwhile();
  expect(one.all().get(log.origin)?.size).toBe(9);
  one.close();
  another.close();
});

test('an answer that got lost is given again, for the same tree only', async () => {
  const first = await startOne();
  expect((await submit(first.url, log.request(0, 4)))?.status).toBe(200);
  await first.kill();
  const second = await startOne();
  // What a log does that did not hear the answer: it starts from what it knows, and learns the size.
  expect(await submit(second.url, log.request(0, 4))).toEqual({ status: 409, body: '4\n' });
  expect((await submit(second.url, log.request(4, 4)))?.status).toBe(200);
  const fork = { name: 'fork', from: 0 };
  expect((await submit(second.url, log.request(4, 4, fork)))?.status).toBe(409);
  expect((await submit(second.url, log.request(4, 9, fork)))?.status).toBe(422);
});

test('a witness is made once', () => {
  expect(() => makeWitness(folder.dir, 'other.example')).toThrow(/is there already/);
  expect(() => makeWitness(`${folder.dir}/new`, 'no name')).toThrow(/is no name of a key/);
});

test('without its store, or with that of another, it does not start', async () => {
  const stranger = await witnessFolder([log.vkey]);
  try {
    const { store } = witnessFiles(stranger.dir);
    await expect(start({ ...folder.config, COUNTERSIGN_WITNESS_STORE: store })).rejects.toThrow(
      ConfigError,
    );
  } finally {
    await stranger.remove();
  }
  await rm(witnessFiles(folder.dir).store);
  await expect(start(folder.config)).rejects.toThrow(/is missing. A witness that lost its store/);
});

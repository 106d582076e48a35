// What calls said is looked for in every file of a running system: Postgres with its write-ahead log, the streams, all logs.
// It is nowhere, from the beginning. After an erasure nothing of ours opens it either, and every proof still verifies.

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { type ContentPlace, readAtRest } from '#host/at-rest.ts';
import { runAs } from '#test/support/command-line.ts';
import { type Live, startLive } from '#test/support/live.ts';
import { secondVerifier } from '#test/support/second-verifier.ts';

/** Values that nothing else has: of an allowed call, of one that was approved and used, of one that waits. */
const SAID = ['Zeisig Kanarienvogel 7741', '734.5121', '834.5122'] as const;

let live: Live;
let home: string;
beforeAll(async () => {
  [live, home] = await Promise.all([startLive(), mkdtemp(join(tmpdir(), 'countersign-erased-'))]);
}, 180_000);
afterAll(async () => {
  await live?.close();
  await rm(home, { recursive: true, force: true });
});

const countersign = async (as: string, ...args: readonly string[]) => runAs(live, as)(...args);

/** A text as files may have it: plain, in hex, and in base64 wherever it begins. */
const shapes = (text: string): readonly Buffer[] => [
  Buffer.from(text),
  Buffer.from(Buffer.from(text).toString('hex')),
  ...[0, 1, 2].map((skip) => {
    const base64 = Buffer.from(`${'_'.repeat(skip)}${text}`).toString('base64');
    return Buffer.from(base64.slice(skip === 0 ? 0 : 4, -4));
  }),
];
const WANTED = SAID.flatMap(shapes);

/** Files of the system that hold anything of what was said, but for keys and compiled code. */
async function found(): Promise<string[]> {
  const entries = await readdir(live.system.dir, { recursive: true, withFileTypes: true });
  const hits: string[] = [];
  for (const { parentPath, name } of entries.filter((entry) => entry.isFile())) {
    // Files come and go while they are looked through.
    const bytes = await readFile(join(parentPath, name)).catch(() => Buffer.alloc(0));
    if (WANTED.some((wanted) => bytes.includes(wanted))) hits.push(name);
  }
  return hits.sort();
}

const mail = async () =>
  live.call({
    tool: 'send_email',
    arguments: { to: 'carol@example.com', subject: 'Order', body: SAID[0] },
  });
const refund = async (amount: string) =>
  live.call({ tool: 'refund_order', arguments: { order_id: 'ord_1002', amount: Number(amount) } });
const idOf = ({ body }: Awaited<ReturnType<typeof mail>>) => body.decision_id ?? '';

const until = async (look: () => Promise<boolean>) =>
  expect.poll(look, { timeout: 90_000, interval: 100 }).toBe(true);
const exported = async (name: string) => {
  const args = ['audit', 'export', '--payloads', '--plain', '--reason', 'test'];
  expect(await countersign('ada', ...args, '--out', join(home, name))).toMatchObject({ code: 0 });
  return readFile(join(home, name, 'rows.ndjson'), 'utf8');
};
const verified = async (name: string) =>
  (
    await countersign(
      'ada',
      'audit',
      'verify',
      '--export',
      join(home, name),
      '--policy',
      join(live.system.dir, 'witness.policy'),
    )
  ).code;

/** Everything that Postgres keeps of contents, opened with the keys. */
async function opened(): Promise<string> {
  const { open } = readAtRest(live.system.secrets.atRestKeysFile);
  const { rows } = (await live.sql(
    `select 'payloads' as "table", tenant, sequence::text as id, body as content from payloads
     union all select 'approvals', tenant, id || ' payload', payload from approvals
     union all select 'approvals', tenant, id || ' progress', progress from approvals
     union all select 'approvals', tenant, id || ' facts', facts from approvals
     union all select 'approval_events', tenant, id || ' ' || step, payload from approval_events
     union all select 'notices', tenant, approval || ' ' || step, event from notices`,
  )) as { readonly rows: readonly (ContentPlace & { readonly content: Buffer })[] };
  return rows.map(({ content, ...place }) => open(content, place)).join('\n');
}
const leftIn = (text: string) => SAID.filter((said) => text.includes(said));

test('what calls said is in no file, is given to who may read it, and is gone after an erasure', async () => {
  const sent = await mail();
  expect(sent.body.verdict).toBe('allow');
  const held = await refund(SAID[1]);
  const approval = String(held.body['approval_id']);
  const waits = await refund(SAID[2]);
  const waiting = String(waits.body['approval_id']);
  expect([held.body.verdict, waits.body.verdict]).toEqual(['escalate', 'escalate']);
  await until(
    async () => (await countersign('grace', 'approvals', 'approve', approval)).code === 0,
  );
  let used = held;
  await until(async () => {
    used = await refund(SAID[1]);
    return used.body.verdict === 'allow';
  });
  // People were told of both.
  await until(async () => {
    const { rows } = (await live.sql(
      `select count(distinct approval)::int as told from notices where state = 'sent'`,
    )) as { readonly rows: readonly { readonly told: number }[] };
    return rows[0]?.told === 2;
  });
  const decisions = [sent, held, used, waits].map(idOf);
  await until(async () => {
    await rm(join(home, 'before'), { recursive: true, force: true });
    const rows = await exported('before');
    return decisions.every((id) => rows.includes(id));
  });

  const before = await readFile(join(home, 'before', 'rows.ndjson'), 'utf8');
  expect(leftIn(before)).toEqual(SAID);
  expect(leftIn(await opened())).toEqual(SAID);
  // What looks for it finds it.
  const seen = join(live.system.dir, 'log', 'seen');
  await writeFile(seen, `x${Buffer.from(SAID[0]).toString('base64')}`);
  expect(await found()).toEqual(['seen']);
  await rm(seen);

  for (const id of decisions) {
    const order = ['audit', 'erase', '--decision', id, '--reason', 'test'];
    expect(await countersign('ada', ...order)).toMatchObject({ code: 0 });
  }
  await until(async () => leftIn(await opened()).length === 0);
  expect(await found()).toEqual([]);

  for (const id of decisions) {
    const replayed = await countersign('ada', 'replay', id);
    expect(replayed.code).toBe(3);
    expect(replayed.stdout + replayed.stderr).toContain('payload erased');
    const shown = await countersign('ada', 'audit', 'show', id, '--plain', '--reason', 'test');
    expect(shown.stdout + shown.stderr).toContain('erased');
    expect(leftIn(shown.stdout + shown.stderr)).toEqual([]);
  }
  for (const [id, state] of [
    [approval, 'approved'],
    [waiting, 'cancelled'],
  ] as const) {
    const { body } = await live.admin('GET', `approvals/${id}`);
    expect(body).toMatchObject({
      state,
      arguments: '',
      missing: ['the call itself: it was erased'],
    });
  }
  expect((await countersign('grace', 'approvals', 'approve', waiting)).code).not.toBe(0);
  const after = await exported('after');
  expect(leftIn(after)).toEqual([]);

  // No proof has changed: of the chain, of what was exported before, and of what is exported now.
  expect(await live.verify()).toBeUndefined();
  expect(await countersign('ada', 'audit', 'verify', '--payloads')).toMatchObject({ code: 0 });
  expect(await Promise.all([verified('before'), verified('after')])).toEqual([0, 0]);
  const second = await secondVerifier();
  if (second !== undefined) {
    const policy = await readFile(join(live.system.dir, 'witness.policy'));
    const folders = ['before', 'after'].map((name) => join(home, name));
    for (const folder of folders) await writeFile(join(folder, 'policy'), policy);
    const said = await second(folders);
    expect(folders.map((folder) => said.get(folder))).toEqual(['intact', 'intact']);
  }
  expect(await found()).toEqual([]);
}, 400_000);

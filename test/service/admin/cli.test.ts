// The operators' verbs as a person types them, against a running admin: results, files, exit codes.

import { spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { anyFreePort } from '#cli/local/ports.ts';
import { main } from '#cli/main.ts';

import { type AdminWorld, startAdminWorld } from '../../support/admin.ts';

let world: AdminWorld;
let dir: string;
beforeAll(async () => {
  world = await startAdminWorld();
  dir = await mkdtemp(join(tmpdir(), 'countersign-cli-'));
  await writeFile(join(dir, 'ada.token'), world.token('ada'), { mode: 0o600 });
  await mkdir(join(dir, 'secrets'));
  vi.stubEnv('NO_COLOR', '1');
  vi.stubEnv('COUNTERSIGN_DIR', dir);
  vi.stubEnv('COUNTERSIGN_ADMIN_URL', world.url());
  vi.stubEnv('COUNTERSIGN_OPERATOR_TOKEN_FILE', join(dir, 'ada.token'));
  vi.stubEnv('COUNTERSIGN_TENANT', 'acme');
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await world.close();
  await rm(dir, { recursive: true, force: true });
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Keeps what is written to a stream while a command runs. */
function capture(stream: NodeJS.WriteStream): {
  readonly text: () => string;
  readonly end: () => void;
} {
  let text = '';
  const write = stream.write.bind(stream);
  stream.write = (chunk: string | Uint8Array) => {
    text += String(chunk);
    return true;
  };
  return { text: () => text, end: () => void (stream.write = write) };
}

/** Runs a command line in this process as Ada, for tenant acme. A process for each would take a second each. */
async function run(...args: readonly string[]): Promise<Ran> {
  const [out, err] = [capture(process.stdout), capture(process.stderr)];
  try {
    process.exitCode = undefined;
    const code = await main(args);
    return { code, out: out.text(), err: err.text() };
  } finally {
    process.exitCode = undefined;
    out.end();
    err.end();
  }
}

const json = async (...args: readonly string[]) => JSON.parse((await run(...args, '--json')).out);

describe('facts', () => {
  it('come from systems that are put, listed and deleted', async () => {
    const words = ['source', 'put', 'hr', '--key', 'people', '--key', 'teams', '--max-age', '60'];
    expect(await json('facts', ...words)).toMatchObject({ visible: true });
    const { items } = await json('facts', 'source', 'list');
    const value = { keys: ['people', 'teams'], max_age_s: 60, as_of: null };
    expect(items).toMatchObject([{ id: 'hr', value }]);
    expect((await run('facts', 'source', 'list')).out).toMatch(/hr +people, teams +60 s +never/);
    expect(await json('facts', 'source', 'delete', 'hr')).toMatchObject({ visible: true });
    expect((await json('facts', 'source', 'list')).items).toEqual([]);
    const without = await run(
      'facts',
      'source',
      'put',
      'hr',
      '--key',
      'people',
      '--max-age',
      'soon',
    );
    expect([without.code, without.err]).toEqual([2, expect.stringContaining('request.schema')]);
  });

  it('are put, patched, shown, listed and deleted', async () => {
    await writeFile(join(dir, 'order.json'), '{"total": 90}');
    const put = await run('facts', 'put', 'orders/17', `@${join(dir, 'order.json')}`);
    expect([put.code, put.out.split('\n')[0]]).toEqual([0, 'put orders/17']);
    await run('facts', 'patch', 'orders/17', '{"state":"paid"}');
    expect(JSON.parse((await run('facts', 'get', 'orders/17')).out)).toEqual({
      total: 90,
      state: 'paid',
    });
    const { items } = await json('facts', 'list', 'orders/');
    expect(items.map(({ id }: { id: string }) => id)).toEqual(['orders/17']);
    expect(await json('facts', 'delete', 'orders/17')).toEqual({
      revision: expect.any(String),
      visible: true,
    });
  });

  const REFUSED: readonly (readonly [
    name: string,
    args: readonly string[],
    code: number,
    said: string,
  ])[] = [
    ['one that is not known', ['get', 'nope'], 1, '(thing.not_found)'],
    ['null', ['put', 'a', 'null'], 1, '(facts.null)'],
    ['what is no JSON', ['put', 'a', '{'], 2, 'is not JSON'],
    ['a key that is none', ['put', 'a//b', '1'], 2, 'is not the key of a fact'],
    ['as a person who is not known', ['get', 'a', '--as', 'eve'], 2, 'no operator token'],
  ];
  it.each(REFUSED)('%s: exit code and words', async (_, args, code, said) => {
    const ran = await run('facts', ...args);
    expect([ran.code, ran.out]).toEqual([code, '']);
    expect(ran.err).toContain(said);
  });
});

describe('registrations', () => {
  it('an agent and a capability for it, in a file that only we may read', async () => {
    await run('agent', 'put', 'shop-agent', '--class', 'shop', '--grant', 'lookup_order');
    const [agent] = (await json('agent', 'list')).items;
    expect(agent).toMatchObject({
      id: 'shop-agent',
      value: { class: 'shop', grant: { tools: ['lookup_order'] } },
    });
    const minted = await json(
      'mint',
      '--agent',
      'shop-agent',
      '--tool',
      'lookup_order',
      '--calls',
      '2',
    );
    const { file } = minted;
    expect(minted).not.toHaveProperty('capability');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const claims = JSON.parse(Buffer.from(await readFile(file, 'utf8'), 'base64url').toString());
    expect(claims.cav.map(({ t }: { t: string }) => t)).toEqual([
      'agent_lock',
      'exp',
      'tool_allow',
      'max_calls',
    ]);
    const printed = await run('mint', '--agent', 'shop-agent', '--for', '15m', '--print');
    expect(printed.out).toMatch(/^[A-Za-z0-9_-]+\n$/);
  });

  it('an issuer from options, ceilings from words', async () => {
    const words =
      'put idp --issuer https://idp.example --jwks-uri https://idp.example/keys --audience countersign --claim agent=azp';
    const issuer = await run('issuer', ...words.split(' '));
    const budget = await run('budget', 'put', '--ceiling', 'agent:shop-agent=5/minute');
    expect([issuer.code, budget.code]).toEqual([0, 0]);
    expect((await json('issuer', 'list')).items[0].value).toEqual({
      issuer: 'https://idp.example',
      audiences: ['countersign'],
      jwks_uri: 'https://idp.example/keys',
      claims: { agent: 'azp' },
    });
    expect(await json('budget', 'show')).toEqual({
      ceilings: [{ scope: 'agent', agent: 'shop-agent', window: 'minute', calls: 5 }],
    });
    const words2 =
      'put --ceiling tenant=cost:50.25/day --ceiling session=200/hour --runaway shop=repeats:20,times-habit:10';
    expect((await run('budget', ...words2.split(' '))).code).toBe(0);
    expect(await json('budget', 'show')).toEqual({
      ceilings: [
        { scope: 'tenant', window: 'day', cost: 50_250_000 },
        { scope: 'session', window: 'hour', calls: 200 },
      ],
      runaway: [{ class: 'shop', repeats: 20, times_habit: 10 }],
    });
    expect((await run('budget', 'show')).out).toBe(
      [
        'for           at most     per',
        'the tenant    cost 50.25  day',
        'each session  200 calls   hour',
        'run away, class shop: the same call more than 20 times; more than 10 times its habit, from 60 calls on in a minute',
        '',
      ].join('\n'),
    );
    const wrong = await run('budget', 'put', '--ceiling', 'session=cost:/hour');
    expect([wrong.code, wrong.out]).toEqual([2, '']);
  });
});

describe('revocations', () => {
  it('are made by kind and id, or from the file of a token, which stays secret', async () => {
    const { file } = await json('mint', '--agent', 'shop-agent', '--tool', 'lookup_order');
    const signature = JSON.parse(
      Buffer.from(await readFile(file, 'utf8'), 'base64url').toString(),
    ).sig;
    const link = hash('sha256', Buffer.from(signature, 'base64url'), 'hex');
    const person = await run('revoke', 'person', 'ann@example.com', '--reason', 'left');
    const leaked = await run('revoke', '--capability-file', file, '--reason', 'leaked');
    expect([person.code, leaked.code, leaked.out.split('\n')[0]]).toEqual([
      0,
      0,
      `revoked capability ${link}`,
    ]);
    const { items } = await json('revocations');
    expect(items.map(({ value }: { value: object }) => value)).toEqual([
      { kind: 'capability', id: link, reason: 'leaked', by: 'ada', at: expect.any(Number) },
      { kind: 'person', id: 'ann@example.com', reason: 'left', by: 'ada', at: expect.any(Number) },
    ]);
    expect((await run('revocations')).out).toContain('ann@example.com');
  });

  const REFUSED: readonly (readonly [name: string, args: readonly string[], said: string])[] = [
    ['without a reason', ['agent', 'a'], '--reason'],
    ['of nothing', ['--reason', 'x'], 'What shall be revoked?'],
    ['of two things', ['agent', 'a', '--capability-file', 'f', '--reason', 'x'], 'What shall'],
    [
      'of a file that is no token',
      ['--capability-file', import.meta.filename, '--reason', 'x'],
      'holds no',
    ],
    ['of a kind that is none', ['tool', 'a', '--reason', 'x'], '(request.schema at /kind)'],
  ];
  it.each(REFUSED)('%s are misuse', async (_, args, said) => {
    const ran = await run('revoke', ...args);
    expect([ran.code, ran.out]).toEqual([2, '']);
    expect(ran.err).toContain(said);
  });
});

describe('kill switches', () => {
  it('are engaged, listed and released by two persons, also for everything', async () => {
    await writeFile(join(dir, 'olga.token'), world.token('olga'), { mode: 0o600 });
    const other = ['--as', join(dir, 'olga.token')];
    for (const [what, name] of [
      [['person', 'ann@example.com'], 'person ann@example.com'],
      [['global'], 'global'],
    ] as const) {
      const killed = await run('kill', ...what, '--reason', 'incident 17');
      expect([killed.code, killed.out.split('\n')[0]]).toEqual([
        0,
        `stopped ${name}; two persons release it`,
      ]);
      expect((await run('switches')).out).toContain('incident 17');
      const asked = await run('release', ...what);
      const again = await run('release', ...what);
      const done = await run('release', ...what, ...other);
      expect([asked.out.split('\n')[0], again.code, done.out.split('\n')[0]]).toEqual([
        `waits for another person to release ${name}`,
        1,
        `released ${name}`,
      ]);
      expect(again.err).toContain('(switch.same_person)');
    }
    expect((await run('switches')).out).toBe('nothing is stopped\n');
  });

  it('without a reason are misuse', async () => {
    const ran = await run('kill', 'global');
    expect([ran.code, ran.err.includes('--reason')]).toEqual([2, true]);
  });

  it('are drilled without a scope, as a table or as JSON, and nothing is stopped', async () => {
    const shown = await run('kill', '--drill', '--within', '10000');
    expect([shown.code, /^admin +10 of 10 /m.test(shown.out)]).toEqual([0, true]);
    const told = await run('kill', '--drill', '--rounds', '2', '--within', '10000', '--json');
    expect(JSON.parse(told.out)).toMatchObject({
      rounds: 2,
      missed: [],
      processes: [{ name: 'admin', seen: 2 }],
    });
    expect((await run('switches')).out).toBe('nothing is stopped\n');
    expect((await run('kill', 'global', '--drill')).code).toBe(2);
  });
});

describe('modes and exceptions', () => {
  it('are set, shown, listed, reviewed and ended', async () => {
    await writeFile(join(dir, 'olga.token'), world.token('olga'), { mode: 0o600 });
    const early = await run('mode', 'set', 'shop', 'observe', '--reason', 'new');
    expect([early.code, early.err.includes('(mode.criteria)')]).toEqual([1, true]);
    const set = [
      'mode',
      'set',
      'shop',
      'observe',
      '--reason',
      'new',
      '--override',
      '--canary',
      '5',
    ];
    expect((await run(...set)).out.split('\n')[0]).toBe('class shop is in mode observe');
    expect((await run('mode', 'list')).out).toMatch(
      /^shop +observe +5 % by agent .* new \(override\)$/m,
    );
    const status = await run('mode', 'status', 'shop');
    expect(status.out).toContain('the database does not answer');
    expect(status.out).toMatch(/^to enter enforce +min_days +7 +0 +not met$/m);
    const scope = ['--tool', 'refund_order', '--lifts', 'policy.blocked', '--for', '7d'];
    const put = await run('exception', 'put', 'big', ...scope, '--why', 'ticket 812');
    expect(put.out.split('\n')[0]).toBe(
      'policy.blocked is lifted; another person has to review it',
    );
    expect((await run('exception', 'review', 'big')).code).toBe(1);
    expect((await run('exception', 'review', 'big', '--as', join(dir, 'olga.token'))).code).toBe(0);
    expect((await run('exception', 'list')).out).toMatch(
      /^big +policy\.blocked +tool refund_order .* ada +olga +ticket 812$/m,
    );
    expect((await run('exception', 'end', 'big', '--reason', 'fixed')).code).toBe(0);
    expect((await run('exception', 'list')).out).toBe('there are none\n');
  });
});

describe('tools', () => {
  it('of a running tool server are registered as it lists them, and what people added stays', async () => {
    const port = await anyFreePort();
    await writeFile(join(dir, 'shop.token'), 'shop-secret');
    const shop = spawn(process.execPath, [join(CHECKOUT, 'cli/demo/shop.ts')], {
      env: {
        ...process.env,
        COUNTERSIGN_SHOP_HOST: '127.0.0.1',
        COUNTERSIGN_SHOP_PORT: String(port),
        COUNTERSIGN_SHOP_TOKEN_FILE: join(dir, 'shop.token'),
      },
      stdio: 'ignore',
    });
    try {
      await run('upstream', 'put', 'shop', `http://127.0.0.1:${port}/mcp`);
      const sync = ['tools', 'sync', 'shop', '--credential-file', join(dir, 'shop.token')];
      await expect
        .poll(async () => (await run(...sync, '--class', 'new')).code, {
          timeout: 15_000,
          interval: 200,
        })
        .toBe(0);
      const { items } = await json('tools', 'list', '--upstream', 'shop');
      expect(items.map(({ id }: { id: string }) => id)).toEqual([
        'lookup_order',
        'refund_order',
        'run_sql',
        'send_email',
      ]);
      expect(items[0].value).toMatchObject({
        upstream: 'shop',
        class: 'new',
        input_schema: { required: ['order_id'] },
        definition_hash: expect.stringMatching(/^sha256:/),
      });
      const labelled = { ...items[0].value, class: 'read', labels: ['safe'] };
      await run('tools', 'put', JSON.stringify([labelled, { name: 'gone', upstream: 'shop' }]));
      const again = await run(...sync);
      expect(again.out.split('\n').slice(0, 2)).toEqual(['removed  gone', 'shop: 4 tools']);
      const after = await json('tools', 'list', '--upstream', 'shop');
      expect(after.items[0].value).toEqual(labelled);
      expect((await run('tools', 'sync', 'shop')).code).toBe(3);
    } finally {
      shop.kill();
      await once(shop, 'exit');
    }
  }, 90_000);
});

describe('policies', () => {
  const rego = (verdict: string) =>
    `package countersign.policy\n\ndecision := {"verdict": "${verdict}"}\n`;

  it('are tested without a system, put, compared, activated and rolled back', async () => {
    const folder = join(dir, 'policy');
    await mkdir(folder);
    const write = (text: string) => writeFile(join(folder, 'policy.rego'), text);
    await write('package countersign.policy\n\ndecision := data.nothing.at.all.f(1)\n');
    const bad = await run('policy', 'test', folder);
    expect([bad.code, bad.out.startsWith('policy.rego:3:')]).toEqual([1, true]);
    expect((await run('policy', 'put', folder)).code).toBe(1);

    await write(rego('allow'));
    expect((await json('policy', 'test', folder)).ok).toBe(true);
    const first = await json('policy', 'put', folder, '--activate');
    expect((await run('policy', 'diff', folder)).code).toBe(0);

    await write(rego('block'));
    const diff = await run('policy', 'diff', folder);
    expect([diff.code, diff.out]).toEqual([
      1,
      [
        'policy.rego',
        '  package countersign.policy',
        '  ',
        '- decision := {"verdict": "allow"}',
        '+ decision := {"verdict": "block"}',
        '  ',
        '',
      ].join('\n'),
    ]);
    const second = await json('policy', 'put', folder);
    expect((await run('policy', 'activate', second.digest.slice(0, 17))).code).toBe(0);
    expect((await json('policy', 'rollback')).digest).toBe(first.digest);
    const listed = await json('policy', 'list');
    expect([listed.active, listed.previous]).toEqual([first.digest, second.digest]);
    expect((await json('policy', 'show')).files).toEqual({ 'policy.rego': rego('allow') });
  }, 90_000);
});

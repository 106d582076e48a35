// `attenuate` and `inspect` as a person types them: which caveats come of which words, and nothing else is needed.

import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { main } from '#cli/main.ts';
import { mintCapability, verifyCapability } from '#contracts/capability.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import { readCapability } from '#contracts/capability/format.ts';
import { CLAIMS } from '#test/support/random-capability.ts';

const KEY = new Uint8Array(32).fill(7);
const LOCK: Caveat = { t: 'agent_lock', agent: 'agent-a' };
const ROOT = mintCapability({ claims: CLAIMS, caveats: [LOCK] }, KEY);
const THUMBPRINT = '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I';

let dir: string;
let file: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'countersign-attenuate-'));
  file = join(dir, 'root');
  await writeFile(file, `${ROOT}\n`);
  vi.stubEnv('NO_COLOR', '1');
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true, force: true });
});

async function run(...args: readonly string[]) {
  const said = { out: '', err: '' };
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    said.out += String(text);
    return true;
  });
  const err = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said.err += String(text);
    return true;
  });
  try {
    return { code: await main(args), ...said };
  } finally {
    process.exitCode = undefined;
    out.mockRestore();
    err.mockRestore();
  }
}

const printed = async (...args: readonly string[]) => {
  const { code, out, err } = await run('attenuate', file, '--print', ...args);
  expect([code, err]).toEqual([0, '']);
  return out.trim();
};

describe('attenuate', () => {
  const CASES: readonly (readonly [name: string, args: readonly string[], added: Caveat[]])[] = [
    ['tools', ['--tool', 'a', '--tool', 'b_*'], [{ t: 'tool_allow', tools: ['a', 'b_*'] }]],
    ['forbidden tools', ['--forbid', 'a'], [{ t: 'tool_deny', tools: ['a'] }]],
    ['servers', ['--upstream', 'shop'], [{ t: 'upstream', upstreams: ['shop'] }]],
    ['calls', ['--calls', '3'], [{ t: 'max_calls', max_calls: 3 }]],
    ['a start', ['--not-before', '2026-01-31T10:00:00+01:00'], [{ t: 'nbf', nbf: 1_769_850_000 }]],
    ['a task', ['--task', 'task-1'], [{ t: 'task', task: 'task-1' }]],
    ['another agent', ['--actor', 'agent-b'], [{ t: 'actor', agent: 'agent-b' }]],
    ['a gateway', ['--audience', 'shop'], [{ t: 'audience', audience: 'shop' }]],
    ['an argument', ['--where', '/a=EUR'], [{ t: 'args', path: '/a', equals: 'EUR' }]],
    ['a number', ['--where', '/a = 5'], [{ t: 'args', path: '/a', equals: 5 }]],
    ['a number in a text', ['--where', '/a="5"'], [{ t: 'args', path: '/a', equals: '5' }]],
    ['a list', ['--where', '/a=["x","y"]'], [{ t: 'args', path: '/a', one_of: ['x', 'y'] }]],
    ['a beginning', ['--where', '/a^=/r/'], [{ t: 'args', path: '/a', prefix: '/r/' }]],
    [
      'two bounds',
      ['--where', '/a>=-1', '--where', '/a/0<=2.5'],
      [
        { t: 'args', path: '/a', min: -1 },
        { t: 'args', path: '/a/0', max: 2.5 },
      ],
    ],
    [
      'amounts',
      ['--total', '/a<=200', '--amount', '/a<=50'],
      [
        { t: 'amount', path: '/a', max: 50 },
        { t: 'amount', path: '/a', total: 200 },
      ],
    ],
    ['a DPoP key', ['--sender', `jkt=${THUMBPRINT}`], [{ t: 'sender', jkt: THUMBPRINT }]],
    [
      'a certificate',
      ['--sender', `x5t#S256=${THUMBPRINT}`],
      [{ t: 'sender', 'x5t#S256': THUMBPRINT }],
    ],
    ['a caveat as it stands', ['--caveat', '{"t":"exp","exp":1}'], [{ t: 'exp', exp: 1 }]],
  ];
  it.each(CASES)('%s', async (_, args, added) => {
    const verified = verifyCapability(await printed(...args), [KEY]);
    expect(verified.ok && verified.capability.caveats).toEqual([LOCK, ...added]);
  });

  it('an expiry from now, before what is counted', async () => {
    const before = Math.floor(Date.now() / 1_000);
    const { caveats } = readCapability(await printed('--calls', '1', '--for', '5m'));
    const [, exp, calls] = caveats;
    expect(calls).toEqual({ t: 'max_calls', max_calls: 1 });
    expect(exp).toEqual({ t: 'exp', exp: expect.any(Number) });
    const seconds = exp?.t === 'exp' ? exp.exp : 0;
    expect([0, 1, 2, 3, 4, 5]).toContain(seconds - before - 300);
  });

  it('goes into a file that only we may read, beside the given one', async () => {
    const { code, out } = await run('attenuate', file, '--task', 't', '--json');
    const said = JSON.parse(out) as { file: string; revocation_id: string };
    expect([code, said.file]).toEqual([
      0,
      join(dir, `capability-${said.revocation_id.slice(0, 16)}`),
    ]);
    expect((await stat(said.file)).mode & 0o777).toBe(0o600);
    expect(readCapability((await readFile(said.file, 'utf8')).trim()).caveats).toHaveLength(2);
  });

  const REFUSED: readonly (readonly [name: string, args: readonly string[], said: string])[] = [
    ['nothing', [], 'Narrower in what?'],
    ['what is no condition', ['--where', 'amount<50'], 'A condition is such as'],
    ['a path that is none', ['--where', '/a~2=1'], 'must be a JSON pointer'],
    ['a bound that is no number', ['--where', '/a<=much'], 'is not a number'],
    ['an amount from below', ['--amount', '/a>=1'], 'A limit of an amount'],
    ['an amount below 0', ['--amount', '/a<=-1'], '"max" must be above 0'],
    ['a key that is none', ['--sender', 'jkt=abc'], 'must be a SHA-256 JWK thumbprint'],
    ['a caveat that nobody knows', ['--caveat', '{"t":"weather"}'], 'unknown caveat "weather"'],
    ['a date without a zone', ['--not-before', '2026-01-31'], 'A time is such as'],
    ['a list with nothing in it', ['--where', '/a=[]'], 'must be a list of 1 to 256'],
  ];
  it.each(REFUSED)('refuses %s', async (_, args, said) => {
    const ran = await run('attenuate', file, ...args);
    expect([ran.code, ran.out]).toEqual([2, '']);
    expect(ran.err).toContain(said);
  });

  it('refuses a file that holds none', async () => {
    await writeFile(join(dir, 'other'), 'abc');
    const ran = await run('attenuate', join(dir, 'other'), '--task', 't');
    expect([ran.code, ran.err]).toEqual([2, expect.stringContaining('holds no capability')]);
  });
});

describe('inspect', () => {
  it('says what it allows at most', async () => {
    const { code, out } = await run('inspect', file);
    expect(code).toBe(0);
    expect(out.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['id', CLAIMS.jti],
      ['issued', '2023-11-14T22:13:20.000Z by countersign'],
      ['tenant', 'demo'],
      ['agent', 'agent-a'],
      ['expires', 'never'],
      ['revocation id', expect.stringMatching(/^[0-9a-f]{64}$/)],
      ['limits', 'issued to agent-a'],
      [''],
    ]);
  });

  it('gives scripts all of it', async () => {
    const { out } = await run('inspect', file, '--json');
    expect(JSON.parse(out)).toMatchObject({ agent: 'agent-a', caveats: [LOCK], expires_at: null });
  });
});

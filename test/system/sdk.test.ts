// The examples of both SDKs, and the quick starts of their pages, do on a running system what they say.

import { execFile } from 'node:child_process';
import { copyFile, cp, mkdtemp, rm, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';

import { Gateway } from '../support/intentgate-client.ts';
import { type Live, startLive } from '../support/live.ts';
import { blocksOf } from '../support/pages.ts';
import {
  buildTypescriptSdk,
  hasPython,
  NO_PYTHON,
  PYTHON_ENV,
  PYTHON_SDK,
} from '../support/sdk.ts';
import { openShell } from '../support/shell.ts';

const exec = promisify(execFile);

const QUICKSTART = [
  'lookup_order ran: {"order_id":"ord_1001","status":"shipped"}',
  'run_sql is blocked: policy.blocked',
  'refund_order is held: policy.needs_approval',
];

let live: Live;
let built: string;
/** The examples' credentials, which outlive the system. */
let secrets: string;
let env: Record<string, string>;
beforeAll(async () => {
  [live, built, secrets] = await Promise.all([
    startLive(),
    buildTypescriptSdk(),
    mkdtemp(join(tmpdir(), 'countersign-sdk-secrets-')),
  ]);
  const { demo } = live.system.seeded() ?? {};
  const keep = async (file = '', name = '') => {
    await copyFile(file, join(secrets, name));
    return join(secrets, name);
  };
  env = {
    COUNTERSIGN_URL: live.system.urls.ingress,
    COUNTERSIGN_ADMIN_URL: live.system.urls.admin,
    COUNTERSIGN_IDENTITY_FILE: await keep(demo?.identity_token_file, 'identity'),
    COUNTERSIGN_CAPABILITY_FILE: await keep(demo?.capability_file, 'capability'),
    COUNTERSIGN_OPERATOR_TOKEN_FILE: await keep(demo?.operator_token_files[0], 'operator'),
  };
});
afterAll(async () => {
  await live?.close();
  for (const dir of [built, secrets]) {
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  }
});

const withPython = hasPython();
if (!withPython) console.warn(NO_PYTHON);

const LANGUAGES = [
  {
    language: 'typescript',
    there: true,
    command: (name: string) => [process.execPath, join(built, 'examples', `${name}.mjs`)],
  },
  {
    language: 'python',
    there: withPython,
    command: (name: string) => ['python3', join(PYTHON_SDK, 'examples', `${name}.py`)],
  },
];

/** The lines that an example prints. */
async function linesOf([program = '', ...words]: string[]): Promise<string[]> {
  const { stdout } = await exec(program, words, { env: { ...process.env, ...PYTHON_ENV, ...env } });
  return stdout.trimEnd().split('\n');
}

describe.each(LANGUAGES)('$language', ({ language, there, command }) => {
  const run = (name: string) => linesOf(command(name));

  test.skipIf(!there)('three calls: one runs, one is blocked, one is held', async () => {
    const recorded = async () => {
      const rows = (await live.rows()).filter(({ kind }) => ['decision', 'outcome'].includes(kind));
      return rows.map(({ kind, verdict }) => (kind === 'decision' ? verdict : kind));
    };
    const before = (await recorded()).length;
    expect(await run('quickstart')).toEqual(QUICKSTART);
    await expect
      .poll(async () => (await recorded()).slice(before).sort())
      .toEqual(['allow', 'block', 'escalate', 'outcome']);
  });

  test.skipIf(!there)('a narrowed capability covers less, and ends', async () => {
    expect(await run('narrow')).toEqual([
      'added: exp, tool_allow, max_calls',
      'lookup_order: allow',
      'refund_order: capability.tool_not_covered',
      'too late: capability.expired',
    ]);
  });

  test.skipIf(!there)('an operator mints a capability, and it is known at once', async () => {
    expect(await run('mint')).toEqual([
      'minted for shop-agent',
      'lookup_order: allow',
      'no such agent: agent.unknown',
    ]);
  });

  test.skipIf(!there).each([
    ['approve', 'allow'],
    ['deny', 'approval.denied'],
  ])('a call waits for a person who says %s', async (step, ends) => {
    // Each language and answer its own call: the same one would find the other's approval.
    const amount = 400 + language.length + step.length / 2;
    const lines = linesOf([...command('wait'), String(amount)]);
    const pending = async () => {
      const { body } = await live.admin('GET', 'approvals?state=pending');
      return (body['items'] as { approval_id: string; effect: string }[]).find(({ effect }) =>
        effect.includes(String(amount)),
      )?.approval_id;
    };
    await expect.poll(pending, { timeout: 20_000 }).toBeDefined();
    const id = await pending();
    const shown = async () =>
      ((await live.admin('GET', `approvals/${id}`)).body['shown'] as string | undefined) ?? '';
    // Empty until the chain has what came before.
    await expect.poll(shown, { timeout: 20_000 }).not.toBe('');
    const said = step === 'approve' ? { shown: await shown() } : { reason: 'No.' };
    expect(await live.admin('POST', `approvals/${id}/${step}`, said)).toMatchObject({
      status: 200,
    });
    expect(await lines).toEqual([`held: ${id}`, `refund_order: ${ends}`]);
  });

  test.skipIf(!there)('the quick start of the page', async () => {
    const shell = await openShell(live.system.dir);
    try {
      await unlink(join(shell.dir, 'sdk')); // building writes beside the sources
      await cp(join(CHECKOUT, 'sdk'), join(shell.dir, 'sdk'), { recursive: true });
      const [start] = blocksOf(`sdk/${language}/README.md`);
      const lines = (start?.code ?? '').replaceAll('/tmp/my-agent', join(shell.dir, 'my-agent'));
      const { code, stdout, stderr } = await shell.run(lines);
      expect({ code, stderr: code === 0 ? '' : stdout + stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout.trimEnd().split('\n').slice(-3)).toEqual(QUICKSTART);
    } finally {
      await shell.close();
    }
  });
});

test("a program written for IntentGate reaches the demo's tool server, once that is switched on", async () => {
  await live.admin('PUT', 'agents/old-agent', { class: 'shop' });
  await live.admin('PUT', 'compat', { route: true });
  const { body } = await live.admin('POST', 'capabilities', { agent: 'old-agent', calls: 1 });
  const gateway = new Gateway(live.system.urls.ingress, String(body['capability']));
  const { content, metadata } = await gateway.tool('lookup_order', { order_id: 'ord_1001' });
  expect([metadata?.decision, content]).toEqual([
    'allow',
    [{ type: 'text', text: expect.stringContaining('ord_1001') }],
  ]);
  const again = gateway.tool('lookup_order', { order_id: 'ord_1001' });
  await expect(again).rejects.toMatchObject({ name: 'BudgetError', code: -32013 });
});

describe('when the ingress is gone', () => {
  beforeAll(() => live.system.stop());

  test.for(LANGUAGES)('$language', async ({ there, command }, { skip }) => {
    if (!there) skip();
    expect(await linesOf(command('quickstart'))).toEqual([
      'lookup_order may be asked later: client.unreachable',
      'run_sql may be asked later: client.unreachable',
      'refund_order may be asked later: client.unreachable',
    ]);
  });
});

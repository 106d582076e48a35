// What the pages tell a newcomer to paste, from top to bottom, on a running system with a foreign MCP server behind it.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, type TestContext, vi } from 'vitest';

import { anyFreePort } from '#cli/local/ports.ts';

import { type Live, startLive } from '../support/live.ts';
import { type Block, blocksOf } from '../support/pages.ts';
import { heldTo, openShell, type Ran, type Shell } from '../support/shell.ts';

const TENANT = 'acme';
const SERVER = 'http://127.0.0.1:9000';

let live: Live;
let server: { readonly url: string; readonly stop: () => Promise<void> };
beforeAll(async () => {
  live = await startLive();
  server = await startEverything();
});
afterAll(async () => {
  await server?.stop();
  await live?.close();
});

/** The MCP project's reference server, as the page starts it. */
async function startEverything(): Promise<typeof server> {
  const port = await anyFreePort(new Set());
  const entry = 'node_modules/@modelcontextprotocol/server-everything/dist/index.js';
  const child = spawn(process.execPath, [entry, 'streamableHttp'], {
    env: { ...process.env, PORT: String(port) },
    stdio: 'ignore',
  });
  const url = `http://127.0.0.1:${port}`;
  await vi.waitFor(() => fetch(`${url}/mcp`), { timeout: 30_000, interval: 100 });
  return {
    url,
    stop: async () => {
      child.kill();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}

const done = async (ran: Promise<Ran>): Promise<string> => {
  const { code, stdout, stderr } = await ran;
  expect({ code, stderr: code === 0 ? '' : stdout + stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
};

describe('docs/connect.md', () => {
  const { publicKey, privateKey } = generateKeys();
  let shell: Shell;
  beforeAll(async () => {
    shell = await openShell(live.system.dir);
  });
  afterAll(() => shell.close());

  let revision: unknown;
  const admin = async (method: string, path: string, body: unknown) => {
    const answer = await live.admin(method, path, body, TENANT);
    expect({ path, ...answer }).toMatchObject({ path, status: 200 });
    revision = answer.body['revision'];
  };
  const ourKey = async () => ({ ...(await exportJWK(await publicKey)), kid: 'ours', alg: 'ES256' });
  const issuers = new Set<string>();

  /** Registers an issuer as the page has it, then with a key of ours, so that we can sign like it. */
  async function register(name: string, issuer: Record<string, unknown>): Promise<void> {
    await admin('PUT', `issuers/${name}`, issuer);
    const { jwks_uri: _, ...rest } = issuer;
    const use = issuer['kind'] === 'jwt-svid' ? 'jwt-svid' : 'sig';
    const keys = [{ ...(await ourKey()), use }];
    await admin('PUT', `issuers/${name}`, { ...rest, jwks: { keys } });
    issuers.add(name);
  }

  /** The page's own issuer keeps its key beside ours. */
  async function registerOwn(): Promise<void> {
    const { keys } = JSON.parse(await readFile(join(shell.dir, 'acme/jwks.json'), 'utf8'));
    await admin('PUT', 'issuers/own', {
      issuer: 'https://issuer.acme.example',
      audiences: ['countersign'],
      jwks: { keys: [...keys, await ourKey()] },
    });
    issuers.add('own');
  }

  /** Signs the claims of the page and compares whom they make with what the page says. */
  async function checkToken(name: string, { code, after }: Block): Promise<void> {
    if (name === 'own') await registerOwn();
    const identity = await new SignJWT(JSON.parse(code))
      .setProtectedHeader({ alg: 'ES256', kid: 'ours' })
      .setExpirationTime('1h')
      .sign(await privateKey);
    await done(shell.run(`export APP_IDENTITY=${identity}`));
    const said = /^Agent `(.+?)`, (?:person `(.+?)`|no person)(?:, asked by `(.+?)`)?/.exec(after);
    const [, agent = '', person = '', asker] = said ?? [];
    expect(agent).not.toBe('');
    if (agent !== 'my-agent' && agent !== 'billing-app') {
      await admin('PUT', `agents/${encodeURIComponent(agent)}`, { issuer: name });
    }
    const { body } = await live.call(
      { tool: 'get-sum', arguments: {}, min_revision: revision },
      { authorization: `Bearer ${identity}`, 'countersign-capability': '' },
    );
    expect(body.reason?.code).toMatch(/^(capability|tool)\./); // the identity holds
    const path = `audit/${body.decision_id}?plain=true&why=test`;
    await expect
      .poll(async () => (await live.admin('GET', path, undefined, TENANT)).status)
      .toBe(200);
    const record = await live.admin('GET', path, undefined, TENANT);
    const { principal } = JSON.parse(String(record.body['payload'])).sections.input;
    const actors = asker === undefined ? [agent] : [agent, asker];
    expect(principal).toMatchObject({ agent, on_behalf_of: person, actors });
  }

  /** A client configuration leads to the tools of the server that its caller may see. */
  async function checkClient(code: string): Promise<void> {
    const environment = await done(shell.run('env'));
    const value = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(environment)?.[1] ?? '';
    const expanded = code.replaceAll(/\$\{(?:env:)?(\w+)\}/g, (_, name: string) => value(name));
    const { url, headers } = JSON.parse(expanded).mcpServers.everything;
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        ...headers,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: {
          protocolVersion: '2025-11-25',
          capabilities: {},
          clientInfo: { name: 'page', version: '1' },
        },
      }),
    });
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('serverInfo');
  }

  /** Runs a program of the page; it prints what the comments behind its prints say. */
  async function runProgram({ code, language }: Block): Promise<void> {
    const file = language === 'ts' ? 'program.ts' : 'program.py';
    await writeFile(join(shell.dir, file), code);
    const command = language === 'ts' ? process.execPath : 'python3';
    const printed = await done(shell.run(`${command} ${file}`));
    const said = [...code.matchAll(/^\s*(?:console\.log|print)\(.*\);?\s+(?:\/\/|#) (.*)$/gm)];
    expect(said.length).toBeGreaterThan(0);
    expect(printed.trimEnd().split('\n')).toEqual(said.map(([, words]) => words));
  }

  async function check(block: Block, { skip }: TestContext): Promise<void> {
    const { language, code, words } = block;
    const [kind = '', name = ''] = words;
    if (language === 'sh') await done(shell.run(heldTo(code.replaceAll(SERVER, server.url))));
    else if (kind === 'issuer') await register(name, JSON.parse(code));
    else if (kind === 'token') await checkToken(name, block);
    else if (kind === 'client') await checkClient(code);
    else if (language === 'python' && !hasPython(name)) {
      skip(`python3${name === 'mcp' ? ' with the package mcp' : ''} is not there`);
    } else if (kind === 'run') await runProgram(block);
    else expect(language, `line ${block.line}`).toBe('console'); // shown, not run
  }

  test.for(blocksOf('docs/connect.md').map((block) => [title(block), block] as const))(
    '%s',
    async ([, block], context) => check(block, context),
  );

  test('every issuer of the page was tried', () => {
    expect([...issuers].sort()).toEqual(['auth0', 'entra', 'keycloak', 'okta', 'own', 'spiffe']);
  });
});

describe('README.md', () => {
  let shell: Shell;
  beforeAll(async () => {
    shell = await openShell(live.system.dir);
    const id = 'JSON.parse(require("fs").readFileSync(0)).items[0].decision_id';
    const newest = `./countersign audit list --kind decision --limit 1 --json | node -p '${id}'`;
    const held = 'JSON.parse(require("fs").readFileSync(0)).items[0].approval_id';
    const waiting = `./countersign approvals list --json | node -p '${held}'`;
    await shell.run(`waiting() { until ${waiting}; do sleep 0.2; done; }`);
    await shell.run(`newest() { until ${newest}; do sleep 0.2; done; }`);
  });
  afterAll(() => shell.close());

  /** With what a person does by hand, and without what was done before. */
  const byHand = (code: string): string =>
    code
      .replaceAll(/^npm .*$/gm, '')
      .replaceAll('DECISION_ID', '$(newest 2>/dev/null)')
      // The first one that is shown is kept: once it is approved it does not wait any more.
      .replaceAll('show APPROVAL_ID', 'show $(waiting 2>/dev/null | tee held.id)')
      .replaceAll('APPROVAL_ID', '$(cat held.id)')
      .replaceAll(
        /^(rm -rf my-policy && cp -r policies\/starter my-policy) .*$/gm,
        `$1; sed -i.bak 's/"refund_limit": 100/"refund_limit": 500/' my-policy/data.json`,
      );

  test.for(
    blocksOf('README.md')
      .filter(({ language }) => language === 'sh')
      .map((block) => [title(block), block] as const),
  )('%s', async ([, { code }]) => {
    const promise = /\s+# ((?:allow|block|escalate|intact|tampered|incomplete)\b.*)$/gm;
    await done(shell.run(heldTo(byHand(code), promise)));
  });
});

describe('docs/intentgate.md', () => {
  let shell: Shell;
  beforeAll(async () => {
    shell = await openShell(live.system.dir);
  });
  afterAll(() => shell.close());

  test('its commands switch on what they say', async () => {
    for (const { code } of blocksOf('docs/intentgate.md')) await done(shell.run(code));
    const shown = JSON.parse(await done(shell.run('./countersign compat show --json')));
    expect(shown).toEqual({
      key_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      token_tenant: 'default',
      route: true,
    });
    await done(shell.run('./countersign compat delete'));
  });
});

describe('docs/evidence.md', () => {
  const blocks = blocksOf('docs/evidence.md');
  const code = (language: string) =>
    blocks.filter((block) => block.language === language).map((block) => block.code);
  let shell: Shell;
  beforeAll(async () => {
    shell = await openShell(live.system.dir);
    const { body } = await live.call({
      tool: 'send_email',
      arguments: { to: 'zoë@exämple', subject: '"\\ \u2028', body: '\u{1f600}\u0001' },
      intent: { purpose: 'write' },
    });
    const recorded = async () =>
      (await live.rows()).some(({ decision_id: id }) => id === body.decision_id);
    await vi.waitFor(async () => expect(await recorded()).toBe(true), { timeout: 20_000 });
    await writeFile(join(shell.dir, 'verify.py'), code('python')[0] ?? '');
  });
  afterAll(() => shell.close());

  const verify = (file: string) => shell.run(`python3 verify.py < ${file}`);
  const rows = async () => (await readFile(join(shell.dir, 'rows.ndjson'), 'utf8')).split('\n');

  test('its commands give the rows, and find them intact', async () => {
    for (const lines of code('sh')) await done(shell.run(lines));
    expect((await rows()).length).toBeGreaterThan(3);
  });

  test('its queries give the same rows', async () => {
    const client = new pg.Client({ connectionString: live.system.databaseAdminUrl });
    await client.connect();
    const [body = '', head = ''] = (code('sql')[0] ?? '').split(';\n');
    const found = [...(await client.query(body)).rows, ...(await client.query(head)).rows];
    await client.end();
    const before = (await rows()).filter((line) => line !== '').map((line) => JSON.parse(line));
    expect(found.map(({ json_build_object: row }) => row).slice(0, before.length - 1)).toEqual(
      before.slice(0, -1).map((row: object) => ({ ...row, payload: null })),
    );
  });

  test('its program needs nothing but the rows', async ({ skip }) => {
    if (!hasPython('')) skip('python3 is not there');
    expect(await done(verify('rows.ndjson'))).toMatch(/^intact: \d+ rows, head \d+:sha256:/);
  });

  test.for<[name: string, change: (rows: string[]) => string[], says: RegExp]>([
    ['a row is missing', (all) => all.toSpliced(1, 1), /row 2/],
    ['rows are swapped', ([a = '', b = '', ...rest]) => [b, a, ...rest], /row 1/],
    ['the end is cut', (all) => all.toSpliced(-3, 1), /the end is missing/],
    ['the head is cut', (all) => all.slice(0, -2), /broke off/],
    ['a leaf is changed', (all) => all.map((row) => row.replace('"block', '"allow')), /row/],
    [
      'a payload is changed',
      (all) => all.map((row) => row.replace('zoë@exämple', 'eve@exämple')),
      /has another payload/,
    ],
    [
      'a payload says more',
      (all) => all.map((row) => row.replace('"sections\\":{', '"sections\\":{\\"a\\":1,')),
      /has another payload/,
    ],
  ])('its program finds that %s', async ([, change, says], { skip }) => {
    if (!hasPython('')) skip('python3 is not there');
    const before = await rows();
    const after = change(before);
    expect(after).not.toEqual(before);
    await writeFile(join(shell.dir, 'changed.ndjson'), after.join('\n'));
    const { code: exit, stderr } = await verify('changed.ndjson');
    expect([exit, stderr]).toEqual([1, expect.stringMatching(says)]);
  });
});

const title = ({ line, language, words }: Block): string =>
  `line ${line}: ${[language, ...words].join(' ')}`;

function generateKeys() {
  const pair = generateKeyPair('ES256', { extractable: true });
  return {
    publicKey: pair.then((keys) => keys.publicKey),
    privateKey: pair.then((keys) => keys.privateKey),
  };
}

function hasPython(needs: string): boolean {
  try {
    execFileSync('python3', [
      '-c',
      needs === 'mcp' ? 'import mcp.client.streamable_http, mcp; mcp.Client' : '',
    ]);
    return true;
  } catch {
    return false;
  }
}

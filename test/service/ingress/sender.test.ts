// Tokens that only the holder of a key can use: DPoP proofs (RFC 9449) and TLS certificates (RFC 8705), at every mouth,
// with two workers that share what was used.

import { hash, randomBytes } from 'node:crypto';
import { request } from 'node:https';

import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Caveat } from '#contracts/capability/caveats.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { readConfig } from '#host/config.ts';

import { IngressConfig } from '../../../services/ingress/config.ts';
import { start } from '../../../services/ingress/main.ts';
import { selfSigned } from '../../support/certificate.ts';
import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

type Ingress = Awaited<ReturnType<typeof start>>;

let world: World;
let ingress: Ingress;
let ours: Sender;
let others: Sender;

interface Sender {
  readonly jkt: string;
  readonly proof: (token: string, change?: Change) => Promise<string>;
}
interface Change {
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
}

const at = (path: string) => ingress.url + path;
const DECISIONS = '/v1/decisions';

async function sender(): Promise<Sender> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  const secret = await exportJWK(privateKey);
  return {
    jkt: await calculateJwkThumbprint(jwk),
    proof: (token, { claims = {}, header = {} } = {}) => {
      const { jwk: shown = jwk } = header;
      return new SignJWT({
        htm: 'POST',
        htu: at(DECISIONS),
        ath: hash('sha256', token, 'base64url'),
        jti: randomBytes(9).toString('hex'),
        iat: Math.floor(Date.now() / 1_000),
        ...claims,
      })
        .setProtectedHeader({
          typ: 'dpop+jwt',
          alg: 'ES256',
          ...header,
          jwk: shown === 'private' ? secret : (shown as object),
        })
        .sign(privateKey);
    },
  };
}

async function startIngress(more: Record<string, string> = {}): Promise<Ingress> {
  const key = () => randomBytes(32).toString('base64');
  return start(
    readConfig(IngressConfig, {
      COUNTERSIGN_NATS_URL: world.nats.url,
      COUNTERSIGN_NATS_PASSWORD_FILE: world.nats.passwordFile('ingress'),
      COUNTERSIGN_NATS_MONITOR_URL: world.nats.monitorUrl,
      COUNTERSIGN_INGRESS_PORT: '0',
      COUNTERSIGN_LOG_LEVEL: 'fatal',
      COUNTERSIGN_SEAL_KEY_FILE: await world.file(`seal-${randomBytes(4).toString('hex')}`, key()),
      COUNTERSIGN_MAC_KEYS_FILE: world.macKeysFile,
      ...more,
    }),
  );
}

beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  await world.activate(ALLOW_ALL);
  await world.put(CONTROL_KEYS.agent(world.tenant, 'shop-agent'), {
    grant: { tools: ['*', 'mcp:*/*'] },
    enforcement_point: true,
  });
  await world.startWorker();
  await world.startWorker();
  ingress = await startIngress();
  [ours, others] = [await sender(), await sender()];
});
afterAll(async () => {
  await ingress.stop();
  await world.close();
});

const boundTo = (jkt: string) => world.identity({ claims: { cnf: { jkt } } });

interface Said {
  readonly code: string;
  readonly challenge: string | null;
}

/** What a call is answered with, and how it is challenged. */
async function call(headers: Record<string, string>, body: object = {}): Promise<Said> {
  const response = await fetch(at(DECISIONS), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ tool: 'lookup_order', arguments: {}, ...body }),
  });
  const { reason } = (await response.json()) as { reason: { code: string } };
  const challenge = response.headers.get('www-authenticate');
  return { code: `${response.status} ${reason.code}`, challenge };
}
const codeOf = async (headers: Record<string, string>) => (await call(headers)).code;

const ALLOWED = '200 policy.allowed';

describe('an identity that is bound to a key', () => {
  const bad: [name: string, change: Change, expected: string][] = [
    ['a proof of its key', {}, ALLOWED],
    ['another method', { claims: { htm: 'GET' } }, '401 identity.proof'],
    [
      'another address',
      { claims: { htu: 'https://other.example/v1/decisions' } },
      '401 identity.proof',
    ],
    ['an address that is none', { claims: { htu: '/v1/decisions' } }, '401 identity.proof'],
    ['another token', { claims: { ath: hash('sha256', 'x', 'base64url') } }, '401 identity.proof'],
    ['no token', { claims: { ath: undefined } }, '401 identity.proof'],
    ['a proof without id', { claims: { jti: '' } }, '401 identity.proof'],
    ['a proof without time', { claims: { iat: undefined } }, '401 identity.proof'],
    [
      'an old proof',
      { claims: { iat: Math.floor(Date.now() / 1_000) - 120 } },
      '401 identity.proof',
    ],
    [
      'a proof of the future',
      { claims: { iat: Math.floor(Date.now() / 1_000) + 120 } },
      '401 identity.proof',
    ],
    ['a token of another type', { header: { typ: 'JWT' } }, '401 identity.proof'],
    ['a proof that shows its private key', { header: { jwk: 'private' } }, '401 identity.proof'],
  ];
  it.each(bad)('%s', async (_, change, expected) => {
    const token = await boundTo(ours.jkt);
    const dpop = await ours.proof(token, change);
    expect(await codeOf({ authorization: `DPoP ${token}`, dpop })).toBe(expected);
  });

  it('does not count query and fragment of the address', async () => {
    const token = await boundTo(ours.jkt);
    const dpop = await ours.proof(token, { claims: { htu: `${at(DECISIONS)}?a=b#c` } });
    expect(await codeOf({ authorization: `DPoP ${token}`, dpop })).toBe(ALLOWED);
  });

  it('is refused without its proof, with another key, and as a bearer token', async () => {
    const token = await boundTo(ours.jkt);
    const unbound = await world.identity();
    const cases: [Record<string, string>, string][] = [
      [{ authorization: `Bearer ${token}` }, '401 identity.sender'],
      [{ authorization: `DPoP ${token}` }, '401 identity.proof'],
      [{ authorization: `DPoP ${token}`, dpop: await others.proof(token) }, '401 identity.sender'],
      [{ authorization: `Bearer ${token}`, dpop: await ours.proof(token) }, '401 identity.sender'],
      [
        { authorization: `DPoP ${unbound}`, dpop: await ours.proof(unbound) },
        '401 identity.sender',
      ],
      [{ authorization: `Bearer ${unbound}`, dpop: 'e30.e30.e30' }, '401 identity.proof'],
      [{ authorization: `Bearer ${unbound}` }, ALLOWED],
    ];
    for (const [headers, expected] of cases) expect(await codeOf(headers)).toBe(expected);
    const twice = { authorization: `DPoP ${token}`, dpop: 'a.b.c, d.e.f' };
    expect(await codeOf(twice)).toBe('401 identity.proof');
    const other = await world.identity({ claims: { cnf: { kid: 'k' } } });
    expect(await codeOf({ authorization: `Bearer ${other}` })).toBe('401 identity.claims');
  });

  it('is challenged in the words of RFC 9449', async () => {
    const token = await boundTo(ours.jkt);
    const without = await call({ authorization: `Bearer ${token}` });
    expect(without.challenge).toMatch(
      /^DPoP realm="countersign", error="invalid_token", .*algs="[^"]*\bES256\b/,
    );
    const wrong = await call({
      authorization: `DPoP ${token}`,
      dpop: await ours.proof(token, { claims: { htm: 'GET' } }),
    });
    expect(wrong.challenge).toContain('error="invalid_dpop_proof"');
  });

  it('is good once, whichever worker sees the proof again', async () => {
    const token = await boundTo(ours.jkt);
    const dpop = await ours.proof(token);
    const headers = { authorization: `DPoP ${token}`, dpop };
    const codes: string[] = [];
    for (let n = 0; n < 12; n += 1) codes.push(await codeOf(headers));
    expect(codes).toEqual([ALLOWED, ...Array<string>(11).fill('401 identity.proof_replayed')]);
    const raced = { ...headers, dpop: await ours.proof(token) };
    const answers = await Promise.all(Array.from({ length: 16 }, () => codeOf(raced)));
    expect(answers.filter((code) => code === ALLOWED)).toHaveLength(1);
    // The same id by another key is another proof.
    const jti = 'shared';
    const mine = await ours.proof(token, { claims: { jti } });
    const theirs = await boundTo(others.jkt);
    const yours = await others.proof(theirs, { claims: { jti } });
    expect(await codeOf({ authorization: `DPoP ${token}`, dpop: mine })).toBe(ALLOWED);
    expect(await codeOf({ authorization: `DPoP ${theirs}`, dpop: yours })).toBe(ALLOWED);
  });

  it('is proved once for all evaluations of an AuthZEN request, and for MCP', async () => {
    const token = await boundTo(ours.jkt);
    const to = async (path: string, body: object, proven = path) => {
      const dpop = await ours.proof(token, { claims: { htu: at(proven) } });
      const response = await fetch(at(path), {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          authorization: `DPoP ${token}`,
          dpop,
        },
        body: JSON.stringify(body),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    const evaluation = { action: { name: 'lookup_order' } };
    const body = {
      subject: { type: 'user', id: 'alice@example.com' },
      resource: { type: 'order', id: 'o-1' },
      evaluations: [evaluation, evaluation, evaluation],
    };
    const answered = await to('/access/v1/evaluations', body);
    const { evaluations } = answered.body as { evaluations: { decision: boolean }[] };
    expect(evaluations.map(({ decision }) => decision)).toEqual([true, true, true]);
    const elsewhere = await to('/access/v1/evaluations', body, DECISIONS);
    expect([elsewhere.status, elsewhere.body]).toMatchObject([
      401,
      { reason: { code: 'identity.proof' } },
    ]);
    const list = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} };
    // The upstream is away; who asks is proved before that is told.
    expect((await to('/mcp/shop', list)).status).not.toBe(401);
    expect((await to('/mcp/shop', list, DECISIONS)).status).toBe(401);
  });
});

describe('a capability that names a key', () => {
  const headers = async (caveats: Caveat[]) => {
    const token = await world.identity();
    const capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }, ...caveats]);
    return {
      token,
      plain: { authorization: `Bearer ${token}`, 'countersign-capability': capability },
    };
  };

  it('is refused without a proof by that key, and the refusal is judged and recorded', async () => {
    const { token, plain } = await headers([{ t: 'sender', jkt: ours.jkt }]);
    expect(await codeOf(plain)).toBe('200 capability.wrong_sender');
    expect(await codeOf({ ...plain, dpop: await others.proof(token) })).toBe(
      '200 capability.wrong_sender',
    );
    const dpop = await ours.proof(token);
    expect(await codeOf({ ...plain, dpop })).toBe(ALLOWED);
    expect(await codeOf({ ...plain, dpop })).toBe('401 identity.proof_replayed');
  });
});

describe('over TLS', () => {
  let secure: Ingress;
  const server = selfSigned('localhost');
  const mine = selfSigned('mine');
  const theirs = selfSigned('theirs');
  const x5t = hash('sha256', mine.der, 'base64url');
  beforeAll(async () => {
    secure = await startIngress({
      COUNTERSIGN_INGRESS_TLS_CERT_FILE: await world.file('server.pem', server.cert),
      COUNTERSIGN_INGRESS_TLS_KEY_FILE: await world.file('server.key', server.key),
    });
  });
  afterAll(() => secure.stop());

  const over = (client: { cert?: string; key?: string }, headers: Record<string, string>) =>
    new Promise<string>((resolve, reject) => {
      const options = { method: 'POST', ca: server.cert, checkServerIdentity: () => undefined };
      const type = { 'content-type': 'application/json' };
      const asked = request(
        secure.url + DECISIONS,
        { ...options, ...client, headers: { ...type, ...headers } },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (part: string) => (text += part));
          response.on('end', () => {
            const { reason } = JSON.parse(text) as { reason: { code: string } };
            resolve(`${response.statusCode} ${reason.code}`);
          });
        },
      );
      asked.on('error', reject).end('{"tool":"lookup_order","arguments":{}}');
    });

  it('a token or capability is good with its certificate alone', async () => {
    const bound = {
      authorization: `Bearer ${await world.identity({ claims: { cnf: { 'x5t#S256': x5t } } })}`,
    };
    const capability = await world.mint([
      { t: 'tool_allow', tools: ['*'] },
      { t: 'sender', 'x5t#S256': x5t },
    ]);
    const held = {
      authorization: `Bearer ${await world.identity()}`,
      'countersign-capability': capability,
    };
    expect([
      await over(mine, bound),
      await over(theirs, bound),
      await over({}, bound),
      await codeOf(bound),
      await over(mine, held),
      await over(theirs, held),
      await over({}, { authorization: held.authorization }),
    ]).toEqual([
      ALLOWED,
      '401 identity.sender',
      '401 identity.sender',
      '401 identity.sender',
      ALLOWED,
      '200 capability.wrong_sender',
      ALLOWED,
    ]);
  });

  it('of a proxy: its header counts where it was configured and comes from there', async () => {
    const token = await world.identity({ claims: { cnf: { 'x5t#S256': x5t } } });
    const ask = async (url: string, header: string) => {
      const response = await fetch(url + DECISIONS, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${token}`,
          'client-cert': header,
        },
        body: '{"tool":"lookup_order","arguments":{}}',
      });
      const { reason } = (await response.json()) as { reason: { code: string } };
      return `${response.status} ${reason.code}`;
    };
    const byDer = `:${mine.der.toString('base64')}:`;
    const near = { COUNTERSIGN_INGRESS_CLIENT_CERT_HEADER: 'Client-Cert' };
    const trusting = await startIngress({
      ...near,
      COUNTERSIGN_INGRESS_TRUSTED_PROXIES: '127.0.0.0/8',
    });
    const distant = await startIngress({
      ...near,
      COUNTERSIGN_INGRESS_TRUSTED_PROXIES: '10.0.0.1',
    });
    const said = [
      await ask(trusting.url, byDer),
      await ask(trusting.url, encodeURIComponent(mine.cert)),
      await ask(trusting.url, encodeURIComponent(theirs.cert)),
      await ask(trusting.url, ':AAAA:'),
      await ask(distant.url, byDer),
      await ask(ingress.url, byDer),
    ];
    await Promise.all([trusting.stop(), distant.stop()]);
    expect(said).toEqual([
      ALLOWED,
      ALLOWED,
      '401 identity.sender',
      '400 request.header',
      '401 identity.sender',
      '401 identity.sender',
    ]);
  });
});

it('with nonces: a proof needs one of ours, and is told it', async () => {
  const strict = await startIngress({ COUNTERSIGN_INGRESS_DPOP_NONCE: 'true' });
  const token = await boundTo(ours.jkt);
  const htu = strict.url + DECISIONS;
  const ask = async (claims: object) => {
    const response = await fetch(htu, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `DPoP ${token}`,
        dpop: await ours.proof(token, { claims: { htu, ...claims } }),
      },
      body: '{"tool":"lookup_order","arguments":{}}',
    });
    const { reason } = (await response.json()) as { reason: { code: string } };
    const { headers, status } = response;
    return {
      code: `${status} ${reason.code}`,
      nonce: headers.get('dpop-nonce') ?? '',
      challenge: headers.get('www-authenticate') ?? '',
    };
  };
  const first = await ask({});
  expect([first.code, first.challenge]).toEqual([
    '401 identity.proof_nonce',
    expect.stringContaining('error="use_dpop_nonce"'),
  ]);
  const made = await ask({ nonce: 'made-up' });
  const good = await ask({ nonce: first.nonce });
  await strict.stop();
  expect([made.code, good.code]).toEqual(['401 identity.proof_nonce', ALLOWED]);
});

it('without the store of used proofs a call with one is refused, and others are not', async () => {
  await world.operator.jsm.streams.delete('KV_proofs');
  const token = await boundTo(ours.jkt);
  const proved = { authorization: `DPoP ${token}`, dpop: await ours.proof(token) };
  expect(await codeOf(proved)).toBe('503 identity.unavailable');
  expect(await codeOf({ authorization: `Bearer ${await world.identity()}` })).toBe(ALLOWED);
});

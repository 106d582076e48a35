// Two tenants on one system never see each other's policy, facts, budgets, capabilities or records; a flood from one
// does not stop the other. A policy that never ends is stopped, and only its tenant feels it.

import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type Answer, type Live, startLive } from '../support/live.ts';

interface Tenant {
  readonly name: string;
  readonly call: (
    body: Record<string, unknown>,
    headers?: Record<string, string>,
  ) => Promise<Answer>;
  readonly capability: string;
}

let live: Live;
let red: Tenant;
let blue: Tenant;

const POLICY = (tenant: string) => `package countersign.policy
default decision := {"verdict": "block", "reason": "default"}
decision := {"verdict": "allow", "reason": "${tenant}"} if input.facts.thing.owner == "${tenant}"
`;
const FACTS = {
  thing: { key: 'things/{call.arguments.id}', required: false, default: { owner: '' } },
};

async function createTenant(name: string): Promise<Tenant> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: name, alg: 'ES256' };
  const done = async (answer: Promise<Answer>) => {
    const { status, body } = await answer;
    if (status >= 300) throw new Error(`${status} ${JSON.stringify(body)}`);
    return body;
  };
  // Both tenants use one issuer name and one agent name: nothing but the tenant tells them apart.
  await done(
    live.admin(
      'PUT',
      'issuers/idp',
      { issuer: 'https://shared.example', jwks: { keys: [jwk] }, audiences: ['countersign'] },
      name,
    ),
  );
  await done(live.admin('PUT', 'agents/worker', { class: 'c' }, name));
  await done(live.admin('PUT', 'tools', { tools: [{ name: 'take' }] }, name));
  await done(live.admin('PUT', 'facts/things/own', { owner: name }, name));
  await done(live.admin('PUT', `facts/things/only-${name}`, { owner: name }, name));
  const { digest } = await done(
    live.admin('POST', 'policies', { files: { 'policy.rego': POLICY(name) }, facts: FACTS }, name),
  );
  await done(live.admin('POST', `policies/${String(digest)}/activate`, undefined, name));
  const { capability } = await done(
    live.admin('POST', 'capabilities', { agent: 'worker', tools: ['take'] }, name),
  );
  const identity = await new SignJWT({ tenant: name })
    .setProtectedHeader({ alg: 'ES256', kid: name })
    .setIssuer('https://shared.example')
    .setAudience('countersign')
    .setSubject('worker')
    .setExpirationTime('1h')
    .sign(privateKey);
  return {
    name,
    capability: String(capability),
    call: (body, headers = {}) =>
      live.call(
        { tool: 'take', ...body },
        {
          authorization: `Bearer ${identity}`,
          'countersign-capability': String(capability),
          ...headers,
        },
      ),
  };
}

beforeAll(async () => {
  live = await startLive();
  [red, blue] = await Promise.all([createTenant('red'), createTenant('blue')]);
});
afterAll(() => live.close());

const said = ({ body }: Answer) =>
  `${body.verdict} ${body.policy_reason ?? body.reason?.code ?? ''}`;

describe('two tenants', () => {
  it('are each judged by their own policy over their own facts', async () => {
    expect(said(await red.call({ arguments: { id: 'own' } }))).toBe('allow red');
    expect(said(await blue.call({ arguments: { id: 'own' } }))).toBe('allow blue');
    expect(said(await red.call({ arguments: { id: 'only-blue' } }))).toBe('block default');
  });

  it('cannot use each other’s capabilities', async () => {
    const answer = await red.call(
      { arguments: { id: 'own' } },
      { 'countersign-capability': blue.capability },
    );
    expect(answer.body.reason?.code).toBe('capability.signature');
  });

  it('count their own budgets', async () => {
    const { body } = await live.admin(
      'PUT',
      'budgets',
      { ceilings: [{ scope: 'tenant', window: 'month', calls: 1 }] },
      'red',
    );
    const own = { arguments: { id: 'own' }, min_revision: body['revision'] };
    const first = await red.call(own);
    const second = await red.call(own);
    await live.admin('PUT', 'budgets', { ceilings: [] }, 'red');
    expect([said(first), said(second)]).toEqual(['allow red', 'block budget.exhausted']);
    expect(said(await blue.call({ arguments: { id: 'own' } }))).toBe('allow blue');
  });

  it('have their records in chains of their own', async () => {
    const answer = await red.call({ arguments: { id: 'own' } });
    const id = answer.body.decision_id;
    await expect
      .poll(async () => (await live.rows('red')).some((row) => row.decision_id === id))
      .toBe(true);
    expect((await live.rows('blue')).some((row) => row.decision_id === id)).toBe(false);
    expect(await live.verify('red')).toBeUndefined();
    expect(await live.verify('blue')).toBeUndefined();
  });

  it('share no call_id', async () => {
    const one = await red.call({ arguments: { id: 'own' }, call_id: 'same' });
    const other = await blue.call({ arguments: { id: 'own' }, call_id: 'same' });
    expect(other.body.decision_id).not.toBe(one.body.decision_id);
    expect(said(other)).toBe('allow blue');
  });

  it('are not stopped by a flood of refusals from the other', async () => {
    let flooding = true;
    const flood = Promise.all(
      Array.from({ length: 48 }, async () => {
        while (flooding) await red.call({ arguments: { id: 'nobody' } });
      }),
    );
    const verdicts = [];
    for (let n = 0; n < 50; n += 1)
      verdicts.push(said(await blue.call({ arguments: { id: 'own' } })));
    flooding = false;
    await flood;
    expect(new Set(verdicts)).toEqual(new Set(['allow blue']));
  });
});

describe('a policy that never ends', () => {
  // Loops over what it keeps small: the memory that acts as fuel is not used up, only time is.
  const ENDLESS = `package countersign.policy
decision := {"verdict": "allow"} if {
  input.call.arguments.id == "endless"
  every a in numbers.range(1, 1500) { every b in numbers.range(1, 1500) { a * b != 0.5 } }
}
decision := {"verdict": "allow", "reason": "quick"} if input.call.arguments.id != "endless"
`;

  it('ends in a refusal, and does not stop the other tenant', async () => {
    const put = await live.admin('POST', 'policies', { files: { 'policy.rego': ENDLESS } }, 'red');
    expect(put.status).toBe(201);
    const path = `policies/${String(put.body['digest'])}/activate`;
    const { body } = await live.admin('POST', path, undefined, 'red');
    const answer = await red.call({
      arguments: { id: 'endless' },
      deadline_ms: 9_000,
      min_revision: body['revision'],
    });
    expect(answer.body.verdict).toBe('block');
    expect([
      'policy.memory',
      'service.timeout',
      'policy.runaway',
      'service.no_worker',
      'policy.error',
    ]).toContain(answer.body.reason?.code);
    await expect
      .poll(async () => said(await blue.call({ arguments: { id: 'own' } })), { timeout: 15_000 })
      .toBe('allow blue');
  });
});

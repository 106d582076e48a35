// Five ways in which agents get more than anybody meant to give them, each closed over the whole system with two
// workers: stale delegation, tenant bleed-through, tool-path escalation, policy fork drift, audit without authority.

import { execFile } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CHECKOUT, placesIn } from '#cli/local/places.ts';
import { attenuate, decodeCapability } from '#contracts/capability.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import type { DecisionLeaf } from '#contracts/decision.ts';

import { modern } from '../support/gateway.ts';
import { type Answer, type Live, type Row, startLive } from '../support/live.ts';
import { ANN, createTenant, credentials, type How, type Tenant } from '../support/twin-tenants.ts';

const SECRET = randomBytes(32);
/** Enough for both workers to be asked. */
const CALLS = 16;

let live: Live;
let acme: Tenant;
let bolt: Tenant;

beforeAll(async () => {
  live = await startLive({ replicas: { 'decision-worker': 2 } });
  [acme, bolt] = await Promise.all([createTenant(live, 'acme'), createTenant(live, 'bolt')]);
});
afterAll(() => live.close());

const said = ({ body }: Answer) => body.policy_reason ?? body.reason?.code ?? '';

/** The different answers of both workers. One after the other: calls of one turn go to one worker together. */
async function everywhere(ask: () => Promise<Answer>): Promise<string[]> {
  const answers = new Set<string>();
  for (let n = 0; n < CALLS; n += 1) answers.add(said(await ask()));
  answers.delete('service.timeout'); // of a busy machine: refused, and nothing about what is tested
  return [...answers];
}

const leafOf = ({ entry }: Row): DecisionLeaf => (JSON.parse(entry) as { body: DecisionLeaf }).body;

/** The chained record of a decision. */
async function recorded(tenant: string, id: string | undefined): Promise<DecisionLeaf> {
  const find = async () => (await live.rows(tenant)).find((row) => row.decision_id === id);
  await expect.poll(find, { timeout: 20_000 }).toBeDefined();
  const row = await find();
  if (row === undefined) throw new Error('not chained');
  return leafOf(row);
}

/** `./countersign ... --json` against this system. */
const countersign = (...words: string[]) =>
  new Promise<Record<string, unknown>>((resolve, reject) => {
    const env = { ...process.env, COUNTERSIGN_DIR: live.system.dir, NO_COLOR: '1' };
    const command = join(CHECKOUT, 'countersign');
    execFile(command, [...words, '--json'], { env }, (error, stdout, stderr) => {
      if (error !== null && stdout === '') reject(new Error(stderr));
      else resolve(JSON.parse(stdout) as Record<string, unknown>);
    });
  });

/** A release takes a second person. */
async function asGrace(path: string, body: object): Promise<void> {
  const files = live.system.seeded()?.demo.operator_token_files ?? [];
  const token = (await readFile(files.find((name) => name.includes('grace')) ?? '', 'utf8')).trim();
  const response = await fetch(new URL(`/v1/tenants/acme/${path}`, live.system.urls.admin), {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
}

/** What the personnel system says by itself. */
async function tell(tenant: string, body: object): Promise<Answer> {
  const [id, time, text] = [
    randomBytes(6).toString('hex'),
    String(Math.floor(Date.now() / 1_000)),
    JSON.stringify(body),
  ];
  const signature = createHmac('sha256', SECRET).update(`${id}.${time}.${text}`).digest('base64');
  const response = await fetch(new URL(`/v1/webhooks/${tenant}/hr`, live.system.urls.admin), {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': time,
      'webhook-signature': `v1,${signature}`,
    },
    body: text,
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}
const active = (is: boolean) => ({ op: 'put', key: `people/${ANN}`, value: { active: is } });

describe('stale delegation', () => {
  beforeAll(async () => {
    const folder = join(placesIn(live.system.dir).secrets, 'facts', 'acme');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'hr.secret'), `whsec_${SECRET.toString('base64')}`, {
      mode: 0o600,
    });
  });

  it('a person leaves, a workflow ends, a thing changes hands: the next call knows, though every token still holds', async () => {
    await acme.change('PUT', 'fact-sources/hr', { keys: ['people'], max_age_s: 60 });
    const told = await tell('acme', { changes: [active(true)] });
    expect(told.body).toMatchObject({ visible: true });
    // No call demands a revision: what is said to be visible is known to both workers within a second.
    const soon = () => expect.poll(() => everywhere(() => acme.ask()), { timeout: 1_000 });
    const allows = () => soon().toEqual(['v1']);
    const refuses = () => soon().toEqual(['v1_no']);
    await allows();
    const left = await tell('acme', { changes: [active(false)] });
    await refuses();
    const refused = await acme.ask({ min_revision: left.body['revision'] });
    await tell('acme', { changes: [active(true)] });
    await allows();
    await acme.change('PATCH', 'facts/workflows/w-1', { open: false });
    await refuses();
    await acme.change('PATCH', 'facts/workflows/w-1', { open: true });
    await allows();
    await acme.change('PUT', 'facts/things/own', { owner: 'bob@example.com' });
    await refuses();
    await acme.change('PUT', 'facts/things/own', { owner: ANN });
    await allows();
    // The record names what was known, and judged once more it still ends the same though all of it has changed since.
    const { facts_revision: revision } = await recorded('acme', refused.body.decision_id);
    expect([said(refused), revision]).toEqual(['v1_no', left.body['revision']]);
    const replay = await countersign(
      'replay',
      String(refused.body.decision_id),
      '--tenant',
      'acme',
    );
    expect(replay['identical']).toBe(true);
  });

  it('a system that is silent for too long is not believed', async () => {
    await acme.change('PUT', 'fact-sources/crm', { keys: ['things'], max_age_s: 5 });
    const speak = (at: number) =>
      acme.change('POST', 'facts', {
        changes: [],
        source: 'crm',
        as_of: new Date(at).toISOString(),
      });
    const before = await everywhere(() => acme.ask());
    await speak(Date.now() - 10_000);
    const late = await everywhere(() => acme.ask());
    await acme.change('DELETE', 'fact-sources/crm');
    expect([before, late]).toEqual([['facts.stale'], ['facts.stale']]);
    await expect.poll(() => everywhere(() => acme.ask())).toEqual(['v1']);
  });
});

describe('tenant bleed-through', () => {
  it('nothing of one tenant counts in another, however alike they are', async () => {
    const [ours, theirs] = [await acme.identity(), await bolt.identity()];
    const asked = { call_id: 'one-and-the-same' };
    const first = await acme.ask(asked);
    const cases: [name: string, answer: Answer, code: string][] = [
      ['the same call', await bolt.ask(asked), 'v1'],
      ['a fact of the other', await bolt.ask({ arguments: { id: 'only-acme' } }), 'facts.missing'],
      [
        'a capability of the other',
        await bolt.ask({}, { capability: acme.capability }),
        'capability.signature',
      ],
      ['an identity of the other', await bolt.ask({}, { identity: ours }), 'capability.signature'],
      [
        'both of the other',
        await bolt.ask({}, { identity: ours, capability: acme.capability }),
        'v1',
      ],
      [
        'a tenant that its issuer has no key for',
        await bolt.ask({}, { identity: await acme.identity(['lead'], { tenant: 'bolt' }) }),
        'identity.signature',
      ],
    ];
    expect(cases.map(([name, answer]) => [name, said(answer)])).toEqual(
      cases.map(([name, , code]) => [name, code]),
    );
    expect(cases[0]?.[1].body.decision_id).not.toBe(first.body.decision_id);

    const { ref } = first.body['recorded'] as { ref: string };
    const report = (identity: string) =>
      live.request('POST', `/v1/decisions/${first.body.decision_id}/outcome`, {
        headers: { 'content-type': 'application/json', authorization: `Bearer ${identity}` },
        body: JSON.stringify({ ref, status: 'executed' }),
      });
    expect([(await report(theirs)).body.reason?.code, (await report(ours)).status]).toEqual([
      'request.unknown_ref',
      200,
    ]);
    expect((await tell('bolt', { changes: [active(false)] })).status).toBe(403);

    const scope = { scope: 'person', id: ANN };
    const killed = await acme.change('POST', 'switches', { ...scope, reason: 'left' });
    const revision = { min_revision: killed['revision'] };
    expect([
      await everywhere(() => acme.ask(revision)),
      await everywhere(() => bolt.ask(revision)),
    ]).toEqual([['capability.killed'], ['v1']]);
    await acme.change('POST', 'switches/release', scope);
    await asGrace('switches/release', scope);
    await expect.poll(() => everywhere(() => acme.ask())).toEqual(['v1']);

    const mine = await recorded('acme', cases[4]?.[1].body.decision_id);
    const rows = await live.rows('bolt');
    expect([mine.tenant, rows.some(({ decision_id: id }) => id === mine.id)]).toEqual([
      'acme',
      false,
    ]);
    expect(rows.every((row) => leafOf(row).tenant === 'bolt')).toBe(true);
  });
});

describe('tool-path escalation', () => {
  it('what a narrowed sub-agent may not do, it may not do by any other way either', async () => {
    const narrowed = (...caveats: Caveat[]) => attenuate(acme.capability, caveats);
    const readOnly = narrowed({ t: 'tool_allow', tools: ['read'] });
    const atShop = narrowed({ t: 'upstream', upstreams: ['shop'] });
    const sub = { identity: await acme.identity(['sub', 'lead']), capability: readOnly };
    const pay = { tool: 'pay', upstream: 'bank', arguments: { id: 'own' } };
    const wider = attenuate(readOnly, [{ t: 'tool_allow', tools: ['*'] }]);
    const decoded = decodeCapability(readOnly);
    if (!decoded.ok) throw new Error(decoded.code);
    const gate = await acme.identity(['gate']);
    const http = (body: object, how: How = sub) => acme.ask(body, how);
    const post = (path: string, body: object, headers: Record<string, string>) =>
      live.request('POST', path, {
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          ...headers,
        },
        body: JSON.stringify(body),
      });
    const authzen = async (how: How) => {
      const body = {
        subject: { type: 'user', id: ANN },
        action: { name: 'pay' },
        resource: { type: 'thing', id: 'own' },
        context: { upstream: 'bank' },
      };
      const answer = await post('/access/v1/evaluation', body, credentials(how));
      const { decision, context } = answer.body as unknown as {
        decision: boolean;
        context: { reason: { code: string } };
      };
      return `${decision} ${context.reason.code}`;
    };
    const mcp = async (server: string, how: How) => {
      const { body, headers } = modern('tools/call', { name: 'pay', arguments: { id: 'own' } });
      const answer = await post(`/mcp/${server}`, body, { ...headers, ...credentials(how) });
      return /"code":"([a-z_.]+)"/.exec(JSON.stringify(answer.body))?.[1];
    };
    expect({
      'its own tool': said(await http({})),
      'the tool over HTTP': said(await http(pay)),
      'over AuthZEN': await authzen(sub),
      'over AuthZEN as an enforcement point': await authzen({ identity: gate }),
      'over MCP': await mcp('bank', sub),
      'a tool of the same name elsewhere': said(await http(pay, { ...sub, capability: atShop })),
      'the same over MCP': await mcp('bank', { ...sub, capability: atShop }),
      'no upstream named': said(await http({ tool: 'pay' }, { ...sub, capability: atShop })),
      'another case of its name': said(await http({ ...pay, tool: 'Pay' })),
      'a caveat more': said(await http(pay, { ...sub, capability: wider })),
      'a caveat less': said(await http(pay, { ...sub, capability: truncated(readOnly) })),
      'without a capability': said(await http(pay, { ...sub, capability: '' })),
      'without who delegated': said(
        await http({}, { ...sub, identity: await acme.identity(['sub']) }),
      ),
      'on behalf of somebody else': said(await http({ arguments: { id: 'theirs' } })),
      'a longer chain': said(
        await http(pay, { ...sub, identity: await acme.identity(['sub', 'sub', 'lead']) }),
      ),
    }).toEqual({
      'its own tool': 'v1',
      'the tool over HTTP': 'capability.tool_not_covered',
      'over AuthZEN': 'false capability.tool_not_covered',
      'over AuthZEN as an enforcement point': 'false capability.tool_not_covered',
      'over MCP': 'capability.tool_not_covered',
      'a tool of the same name elsewhere': 'capability.upstream_not_covered',
      'the same over MCP': 'capability.upstream_not_covered',
      'no upstream named': 'capability.upstream_not_covered',
      'another case of its name': 'capability.tool_not_covered',
      'a caveat more': 'capability.tool_not_covered',
      'a caveat less': 'capability.signature',
      'without a capability': 'capability.missing',
      'without who delegated': 'capability.wrong_agent',
      'on behalf of somebody else': 'facts.missing',
      'a longer chain': 'capability.tool_not_covered',
    });
  });

  /** The same token without its last caveat, as one would cut it. */
  function truncated(token: string): string {
    const body = JSON.parse(Buffer.from(token, 'base64url').toString()) as { cav: unknown[] };
    return Buffer.from(JSON.stringify({ ...body, cav: body.cav.slice(0, -1) })).toString(
      'base64url',
    );
  }
});

describe('policy fork drift', () => {
  it('every worker decides by the one active policy, and says which', async () => {
    const answers: Answer[] = [];
    let asking = true;
    const load = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (asking) answers.push(await acme.ask());
      }),
    );
    try {
      for (const version of ['v2', 'v3']) {
        const { revision } = await acme.activate(version);
        const after = await Promise.all(
          Array.from({ length: CALLS }, () => acme.ask({ min_revision: revision })),
        );
        for (const answer of after) answers.push(answer);
        const given = after.filter((answer) => said(answer) !== 'service.timeout');
        expect(new Set(given.map(said))).toEqual(new Set([version]));
      }
    } finally {
      asking = false;
      await load;
    }
    // Each decision names the digest of what really decided it, also in the moment of a change.
    for (const answer of answers) {
      if (answer.body.verdict !== 'allow') continue;
      const { digest } = answer.body['policy'] as { digest: string };
      expect([said(answer), digest]).toEqual([said(answer), acme.digests.get(said(answer))]);
    }
    for (const worker of Object.keys(live.system.pids())) {
      if (worker.startsWith('decision-worker')) await live.system.restart(worker);
    }
    await expect.poll(() => everywhere(() => acme.ask()), { timeout: 20_000 }).toEqual(['v3']);
    const leaf = await recorded('acme', (await acme.ask()).body.decision_id);
    expect(leaf.policies.map(({ role, digest }) => [role, digest])).toEqual([
      ['floor', expect.stringMatching(/^sha256:/)],
      ['tenant', acme.digests.get('v3')],
    ]);
    // What decided can be fetched and run again.
    expect((await countersign('replay', leaf.id, '--tenant', 'acme'))['identical']).toBe(true);
  });
});

describe('audit without authority', () => {
  it('every allow in the chain leads to who granted it: person, agent, capability, policy, facts, and the people behind them', async () => {
    const last = await acme.ask(
      {},
      {
        identity: await acme.identity(['sub', 'lead'], {
          act: { sub: 'sub', iss: 'https://mesh.example', act: { sub: 'lead' } },
        }),
        capability: acme.capability,
      },
    );
    await recorded('acme', last.body.decision_id);
    const rows = await live.rows('acme');
    interface ControlLeaf {
      readonly by: string;
      readonly at: number;
      readonly action: string;
      readonly target: string;
    }
    const changes = rows
      .filter(({ kind }) => kind.startsWith('control.'))
      .map((row) => ({
        kind: row.kind,
        ...(JSON.parse(row.entry) as { body: ControlLeaf }).body,
      }));
    expect(changes.filter(({ by }) => !/^([a-z]+|source:hr)$/.test(by))).toEqual([]);
    const granted = (kind: string, target: string, before: number) =>
      changes.some(
        (change) => change.kind === kind && change.target === target && change.at <= before,
      );
    const allows = rows.filter(({ kind, verdict }) => kind === 'decision' && verdict === 'allow');
    expect(allows.length).toBeGreaterThan(CALLS);
    for (const row of allows) {
      const leaf = leafOf(row);
      const tenantPolicy = leaf.policies.find(({ role }) => role === 'tenant')?.digest ?? '';
      expect({
        agent: leaf.agent !== '' && granted('control.agent', leaf.agent, leaf.at),
        person: /^p_[0-9a-f]{32}$/.test(leaf.person),
        capability: granted('control.capability', leaf.capability.root, leaf.at),
        policy: granted('control.policy', tenantPolicy, leaf.at),
        revisions: leaf.facts_revision !== '' && leaf.policy_revision !== '',
        worker: leaf.worker !== '',
      }).toEqual({
        agent: true,
        person: true,
        capability: true,
        policy: true,
        revisions: true,
        worker: true,
      });
    }
    // The whole chain of delegation is in the payload, under a commitment of the leaf.
    const shown = await live.admin(
      'GET',
      `audit/${last.body.decision_id}?plain=true&why=test`,
      undefined,
      'acme',
    );
    const { input, evidence } = JSON.parse(String(shown.body['payload'])).sections;
    expect([
      input.principal.actors,
      input.principal.on_behalf_of,
      JSON.parse(evidence.identity.act),
    ]).toEqual([
      ['sub', 'lead'],
      ANN,
      { sub: 'sub', iss: 'https://mesh.example', act: { sub: 'lead' } },
    ]);
    expect(await live.verify('acme')).toBeUndefined();
  });
});

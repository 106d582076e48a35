// Ingress and a real decision worker: what the stand-ins of the other tests promise is what a worker does.

import { randomBytes } from 'node:crypto';

import { Compile } from 'typebox/compile';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { DecisionAnswer, OutcomeAnswer } from '#contracts/http.ts';
import { readConfig } from '#host/config.ts';

import { IngressConfig } from '../../../services/ingress/config.ts';
import { start } from '../../../services/ingress/main.ts';
import { startWorld, type World } from '../../support/world.ts';

const POLICY = `package countersign.policy
default decision := {"verdict": "allow"}
decision := {"verdict": "escalate"} if input.call.arguments.amount > 100
decision := {"verdict": "block"} if input.call.arguments.subject.id == "mallory"
`;

let world: World;
let ingress: Awaited<ReturnType<typeof start>>;
let capability: string;
beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  await world.activate(POLICY);
  const { tenant } = world;
  await world.put(CONTROL_KEYS.tool(tenant, '', 'can_read'), { name: 'can_read' });
  await world.put(CONTROL_KEYS.agent(tenant, 'gate'), {
    enforcement_point: true,
    grant: { tools: ['can_read'] },
  });
  await world.startWorker();
  capability = await world.mint([
    { t: 'tool_allow', tools: ['refund_order'] },
    { t: 'exp', exp: Math.floor(Date.now() / 1_000) + 3_600 },
  ]);
  const key = () => randomBytes(32).toString('base64');
  ingress = await start(
    readConfig(IngressConfig, {
      COUNTERSIGN_NATS_URL: world.nats.url,
      COUNTERSIGN_NATS_PASSWORD_FILE: world.nats.passwordFile('ingress'),
      COUNTERSIGN_NATS_MONITOR_URL: world.nats.monitorUrl,
      COUNTERSIGN_INGRESS_PORT: '0',
      COUNTERSIGN_LOG_LEVEL: 'fatal',
      COUNTERSIGN_SEAL_KEY_FILE: await world.file('seal', key()),
      COUNTERSIGN_MAC_KEYS_FILE: await world.file(
        'ingress-mac',
        JSON.stringify({ ingress: key() }),
      ),
    }),
  );
});
afterAll(async () => {
  await ingress.stop();
  await world.close();
});

async function post(
  path: string,
  body: object,
  identity: string,
  more: Record<string, string> = {},
) {
  const response = await fetch(ingress.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${identity}`, ...more },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, any> }; // oxlint-disable-line typescript/no-explicit-any
}

const refund = async (amount: number, more: object = {}) =>
  post(
    '/v1/decisions',
    { tool: 'refund_order', arguments: { order_id: 'o-1', amount }, ...more },
    await world.identity(),
    { 'countersign-capability': capability },
  );

describe('a call', () => {
  it('is allowed, and its outcome is taken from who asked and from nobody else', async () => {
    const { status, body } = await refund(5);
    expect([status, body['verdict']]).toEqual([200, 'allow']);
    expect(Compile(DecisionAnswer).Errors(body)).toEqual([]);
    const report = { ref: body['recorded'].ref, status: 'executed' };
    const path = `/v1/decisions/${body['decision_id']}/outcome`;
    const asBob = await post(path, report, await world.identity({ sub: 'bob@example.com' }));
    expect([asBob.status, asBob.body['reason'].code]).toEqual([404, 'request.unknown_ref']);
    // A fresh token of the same agent and person is the same asker.
    const asAlice = await post(path, report, await world.identity({ expiresIn: '2h' }));
    expect([asAlice.status, asAlice.body['late']]).toEqual([200, false]);
    expect(Compile(OutcomeAnswer).Errors(asAlice.body)).toEqual([]);
  });

  it('is held, with the id of its approval', async () => {
    const first = await refund(500);
    expect([first.status, first.body['verdict']]).toEqual([200, 'escalate']);
    expect(first.body['approval_id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('with the same call_id gets the same answer, marked', async () => {
    const first = await refund(7, { call_id: 'c-same' });
    const second = await refund(7, { call_id: 'c-same' });
    const { recorded: _, ...given } = first.body;
    expect(second.body).toMatchObject({ ...given, repeated: true });
  });

  it('with a false signature is refused by the worker', async () => {
    const token = await world.identity();
    const forged = `${token.slice(0, token.lastIndexOf('.'))}.${randomBytes(64).toString('base64url')}`;
    const { status, body } = await post('/v1/decisions', { tool: 't', arguments: {} }, forged);
    expect([status, body['reason'].code]).toEqual([401, 'identity.signature']);
  });
});

describe('AuthZEN', () => {
  const evaluation = (id: string) => ({
    subject: { type: 'user', id },
    action: { name: 'can_read' },
    resource: { type: 'document', id: '1' },
  });
  const gate = () => world.identity({ sub: 'proxy@example.com', act: { sub: 'gate' } });

  it('is answered for the subject that an enforcement point asserts', async () => {
    const caller = await gate();
    const asked = ['alice', 'mallory'].map((id) =>
      post('/access/v1/evaluation', evaluation(id), caller),
    );
    const answers = await Promise.all(asked);
    expect(
      answers.map(({ status, body }) => [status, body['decision'], body['context'].verdict]),
    ).toEqual([
      [200, true, 'allow'],
      [200, false, 'block'],
    ]);
  });

  it('is not answered for a subject that an agent asserts', async () => {
    const { status, body } = await post(
      '/access/v1/evaluation',
      evaluation('alice'),
      await world.identity(),
    );
    expect([status, body['decision'], body['context'].reason.code]).toEqual([
      200,
      false,
      'identity.not_enforcement_point',
    ]);
  });
});

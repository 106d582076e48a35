// GET /v1/me with a real worker: what a caller is told about itself is what its calls meet.

import { randomBytes } from 'node:crypto';

import { Compile } from 'typebox/compile';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { Me } from '#contracts/http.ts';
import { readConfig } from '#host/config.ts';

import { IngressConfig } from '../../../services/ingress/config.ts';
import { start } from '../../../services/ingress/main.ts';
import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

let world: World;
let ingress: Awaited<ReturnType<typeof start>>;
beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  await world.activate(ALLOW_ALL);
  await world.startWorker();
  const key = () => randomBytes(32).toString('base64');
  ingress = await start(
    readConfig(IngressConfig, {
      COUNTERSIGN_NATS_URL: world.nats.url,
      COUNTERSIGN_NATS_PASSWORD_FILE: world.nats.passwordFile('ingress'),
      COUNTERSIGN_NATS_MONITOR_URL: world.nats.monitorUrl,
      COUNTERSIGN_INGRESS_PORT: '0',
      COUNTERSIGN_LOG_LEVEL: 'fatal',
      COUNTERSIGN_SEAL_KEY_FILE: await world.file('seal', key()),
      COUNTERSIGN_MAC_KEYS_FILE: world.macKeysFile,
    }),
  );
});
afterAll(async () => {
  await ingress?.stop();
  await world?.close();
});

const shape = Compile(Me);

async function me(identity: string, capability = ''): Promise<{ status: number; body: Me }> {
  const response = await fetch(`${ingress.url}/v1/me`, {
    headers: {
      authorization: `Bearer ${identity}`,
      ...(capability === '' ? {} : { 'countersign-capability': capability }),
    },
  });
  const body = (await response.json()) as Me;
  if (response.ok) expect(shape.Errors(body)).toEqual([]);
  return { status: response.status, body };
}

/** Names of the tools, each with why it is hidden. */
const tools = ({ body }: { body: Me }) =>
  Object.fromEntries(body.tools.map((tool) => [tool.name, tool.reason?.code ?? 'visible']));

const inAnHour = () => Math.floor(Date.now() / 1_000) + 3_600;

describe('a caller is told', () => {
  it('who it is, what it holds, and why a tool is hidden', async () => {
    const caveats = [
      { t: 'exp', exp: inAnHour() },
      { t: 'tool_allow', tools: ['lookup_*'] },
      { t: 'args', path: '/order_id', equals: 'o-1' },
    ] as const;
    const token = await world.mint(caveats.map((caveat) => structuredClone(caveat) as never));
    const { status, body } = await me(await world.identity(), token);
    expect([status, body]).toEqual([
      200,
      {
        identity: {
          tenant: 'acme',
          agent: 'shop-agent',
          agent_class: 'shop',
          on_behalf_of: 'alice@example.com',
          actors: ['shop-agent'],
          workflow: expect.any(String),
          session: expect.any(String),
          task: expect.any(String),
          expires_at: expect.stringMatching(/^20\d\d-.*Z$/),
        },
        budgets: [],
        capability: { kind: 'token', id: expect.any(String), caveats },
        tools: [
          { upstream: 'shop', name: 'lookup_order', visible: true },
          {
            upstream: 'shop',
            name: 'refund_order',
            visible: false,
            reason: expect.objectContaining({ code: 'capability.tool_not_covered' }),
          },
        ],
      },
    ]);
  });

  it('that it holds nothing', async () => {
    const { body } = await me(await world.identity());
    expect([body.capability, tools({ body })]).toMatchObject([
      { kind: 'none', caveats: [], reason: { code: 'capability.missing' } },
      { lookup_order: 'capability.missing', refund_order: 'capability.missing' },
    ]);
  });

  it('that its capability is not from here', async () => {
    const { body } = await me(
      await world.identity(),
      await world.mint([], 'shop-agent', { known: false }),
    );
    expect([body.capability.kind, body.capability.reason?.code]).toEqual([
      'none',
      'capability.unknown_root',
    ]);
  });

  it('that its capability has expired, and still what it says', async () => {
    const token = await world.mint([{ t: 'exp', exp: 1_700_000_000 }]);
    const answer = await me(await world.identity(), token);
    expect(tools(answer)).toEqual({
      lookup_order: 'capability.expired',
      refund_order: 'capability.expired',
    });
    expect(answer.body.capability.caveats).toContainEqual({ t: 'exp', exp: 1_700_000_000 });
  });

  it('what its standing grant says, also of tools without a server', async () => {
    await world.put(CONTROL_KEYS.tool(world.tenant, '', 'tidy'), { name: 'tidy' });
    await world.put(CONTROL_KEYS.agent(world.tenant, 'cleaner'), { grant: { tools: ['tidy'] } });
    const identity = await world.identity({ act: { sub: 'cleaner' } });
    await expect
      .poll(async () => tools(await me(identity)))
      .toEqual({
        tidy: 'visible',
        lookup_order: 'capability.tool_not_covered',
        refund_order: 'capability.tool_not_covered',
      });
    expect((await me(identity)).body.capability.kind).toBe('standing');
  });

  it('what is used of its ceilings, and asking uses none of it', async () => {
    const ceiling = { scope: 'agent', window: 'day', calls: 3 };
    const key = CONTROL_KEYS.budgets(world.tenant);
    await world.put(key, { ceilings: [ceiling] });
    const token = await world.mint([{ t: 'exp', exp: inAnHour() }]);
    const identity = await world.identity();
    const used = async () => (await me(identity, token)).body.budgets.map((share) => share.used);
    await expect.poll(used).toEqual([0]);
    await world.ask({ capability: token });
    expect(await used()).toEqual([1]);
    expect((await me(identity, token)).body.budgets).toMatchObject([
      { scope: 'agent', window: 'day', limit: 3, used: 1 },
    ]);
    await world.put(key, null);
  });

  it('that somebody has stopped it', async () => {
    const token = await world.mint([{ t: 'exp', exp: inAnHour() }]);
    const identity = await world.identity();
    const key = CONTROL_KEYS.switch(world.tenant, 'tool', 'refund_order');
    await world.put(key, { scope: 'tool', id: 'refund_order' });
    await expect
      .poll(async () => tools(await me(identity, token)))
      .toMatchObject({ lookup_order: 'visible', refund_order: 'capability.killed' });
    await world.put(key, null);
  });
});

describe('nobody else is told anything', () => {
  it('without an identity, or with a false one', async () => {
    const token = await world.identity();
    const forged = `${token.slice(0, token.lastIndexOf('.'))}.${randomBytes(64).toString('base64url')}`;
    const answers = [await me(forged), await me(await world.identity({ expiresIn: '-1h' }))];
    const codes = answers.map(({ status, body }) => [status, (body as any).reason.code]); // oxlint-disable-line typescript/no-explicit-any
    expect(codes).toEqual([
      [401, 'identity.signature'],
      [401, 'identity.expired'],
    ]);
  });
});

// Policies as a worker runs them: facts, floor, hot reload, and every way in which one can fail to answer.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { WorkerAnswer } from '#contracts/call.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { PLATFORM, revisionOf } from '#contracts/ids.ts';
import { decodeRecords } from '#contracts/record.ts';

import { ALLOW_ALL, bundleOf, OPEN_FLOOR, startWorld, type World } from '../../support/world.ts';

let world: World;
let capability: string;
beforeAll(async () => {
  world = await startWorld();
  capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
});
afterAll(() => world.close());

const policy = (body: string) => `package countersign.policy\n${body}\n`;

/** The answer under a policy that is surely active: the call demands the revision of its activation. */
async function under(
  rego: string,
  call: Parameters<World['ask']>[0] = {},
  facts: object = {},
): Promise<WorkerAnswer> {
  await world.activate(rego, { facts });
  return askNow(call);
}

async function askNow(call: Parameters<World['ask']>[0] = {}): Promise<WorkerAnswer> {
  const head = (await (await world.operator.bucket('control')).get('head'))?.json<{
    sequence: number;
  }>();
  const revision = revisionOf(await world.operator.epoch('CONTROL'), head?.sequence ?? 0);
  return world.ask({ capability, min_revision: revision, ...call });
}

const unaware = () => ({ capability, min_revision: world.unaware });

const said = (answer: WorkerAnswer) =>
  answer.kind === 'decided' ? `${answer.body.verdict} ${answer.body.reason.code}` : answer.kind;

describe('a policy', () => {
  const cases: [name: string, rego: string, expected: string][] = [
    ['allows', ALLOW_ALL, 'allow policy.allowed'],
    [
      'blocks with its own reason',
      policy('decision := {"verdict": "block", "reason": "no", "message": "Not today."}'),
      'block policy.blocked',
    ],
    [
      'holds',
      policy('decision := {"verdict": "escalate", "approval": {"risk": "high"}}'),
      'escalate policy.needs_approval',
    ],
    [
      'gives no decision',
      policy('decision := {"verdict": "allow"} if input.call.tool == "other"'),
      'block policy.undefined',
    ],
    [
      'gives an unknown verdict',
      policy('decision := {"verdict": "permit"}'),
      'block policy.wrong_shape',
    ],
    ['gives a boolean', policy('decision := true'), 'block policy.wrong_shape'],
    ['gives null', policy('decision := null'), 'block policy.wrong_shape'],
    [
      'gives an unknown member',
      policy('decision := {"verdict": "allow", "force": true}'),
      'block policy.wrong_shape',
    ],
    [
      'gives an unknown obligation',
      policy('decision := {"verdict": "allow", "obligations": [{"type": "dance"}]}'),
      'block policy.wrong_shape',
    ],
    [
      'gives an approval beside allow',
      policy('decision := {"verdict": "allow", "approval": {"risk": "low"}}'),
      'block policy.wrong_shape',
    ],
    [
      'uses up its memory',
      policy(
        'decision := {"verdict": "allow"} if count([x | x := numbers.range(1, 3000)[_]; y := numbers.range(1, 3000)[_]; x * y == 7]) > 0',
      ),
      'block policy.memory',
    ],
  ];
  it.each(cases)('that %s', async (_name, rego, expected) => {
    expect(said(await under(rego))).toBe(expected);
  });

  it('speaks to the caller by message and policy_reason', async () => {
    const answer = await under(
      policy('decision := {"verdict": "block", "reason": "too_much", "message": "At most 100."}'),
    );
    expect(answer).toMatchObject({
      body: { policy_reason: 'too_much', reason: { message: 'At most 100.' } },
    });
  });

  it('sees the recorded time, the whole principal and no null', async () => {
    const answer = await under(
      policy(
        'decision := {"verdict": "allow", "labels": labels}\nlabels := ["seen"] if {\n  input.time.unix_ms > 1700000000000\n  input.principal == {"actors": ["shop-agent"], "agent": "shop-agent", "agent_class": "shop", "on_behalf_of": "alice@example.com", "tenant": "acme", "workflow": ""}\n  input.session == {"id": "", "calls": []}\n  input.facts == {}\n  input.mode == "enforce"\n}',
      ),
    );
    expect(said(answer)).toBe('allow policy.allowed');
  });
});

describe('the floor', () => {
  afterAll(() => world.activate(OPEN_FLOOR, { tenant: PLATFORM }));

  it('blocks what the tenant allows, and is named in the record', async () => {
    await world.activate(ALLOW_ALL);
    await world.activate(
      'package countersign.floor\ndecision := {"verdict": "block", "reason": "never"}\n',
      { tenant: PLATFORM },
    );
    const answer = await askNow();
    expect(said(answer)).toBe('block policy.floor');
    if (answer.kind !== 'decided') throw new Error('not decided');
    const message = await world.operator.jsm.streams.getMessage('DECISIONS', {
      seq: answer.position.sequence,
    });
    const [record] = decodeRecords(message?.string() ?? '');
    expect(
      JSON.parse(record?.leaf ?? '').policies.map(({ role }: { role: string }) => role),
    ).toEqual(['floor', 'tenant']);
  });
});

describe('facts', () => {
  const byOrder = policy(
    'decision := {"verdict": "allow"} if input.facts.order.open == true\ndecision := {"verdict": "block"} if input.facts.order.open == false',
  );
  const declared = { order: 'orders/{call.arguments.order_id}' };

  it('refuse before policy when a required one is not known', async () => {
    expect(said(await under(byOrder, { args: { order_id: 'nobody-knows' } }, declared))).toBe(
      'block facts.missing',
    );
  });

  it('stand in the input of exactly the call that names them', async () => {
    await world.put(CONTROL_KEYS.fact(world.tenant, 'orders/o-1'), { open: true });
    await world.put(CONTROL_KEYS.fact(world.tenant, 'orders/o-2'), { open: false });
    expect(said(await under(byOrder, { args: { order_id: 'o-1' } }, declared))).toBe(
      'allow policy.allowed',
    );
    expect(said(await askNow({ args: { order_id: 'o-2' } }))).toBe('block policy.blocked');
  });

  it('are known to the next call that demands their revision', async () => {
    for (const open of [true, false, true, false]) {
      await world.put(CONTROL_KEYS.fact(world.tenant, 'orders/o-3'), { open });
      expect(said(await askNow({ args: { order_id: 'o-3' } }))).toBe(
        open ? 'allow policy.allowed' : 'block policy.blocked',
      );
    }
  });

  it('of another tenant are not there', async () => {
    await world.put(CONTROL_KEYS.fact('other', 'orders/o-9'), { open: true });
    expect(said(await askNow({ args: { order_id: 'o-9' } }))).toBe('block facts.missing');
  });

  it('that are too large together refuse, and the refusal is recorded without them', async () => {
    const large = { open: true, text: 'x'.repeat(250_000) };
    const three = Object.fromEntries([1, 2, 3].map((n) => [`f${n}`, `large/${n}`]));
    for (const n of [1, 2, 3]) {
      await world.put(CONTROL_KEYS.fact(world.tenant, `large/${n}`), large);
    }
    const answer = await under(byOrder, {}, { ...declared, ...three });
    expect(said(answer)).toBe('block facts.missing');
    const asked = { args: { order_id: 'o-1' } };
    expect(said(await askNow(asked))).toBe('block policy.input_too_large');
    expect(said(await under(byOrder, asked, declared))).toBe('allow policy.allowed');
  });

  it.each([
    ['a path out of its segment', '../o-1'],
    ['a wildcard', '>'],
    ['a list', ['o-1']],
    ['nothing', ''],
  ])('cannot be reached by %s', async (_name, order) => {
    expect(said(await askNow({ args: { order_id: order as never } }))).toBe('block facts.missing');
  });
});

describe('a policy that does not load', () => {
  const bundle = `${ALLOW_ALL}\n# late\n`.replace('allow', 'block');

  it('leaves the last good one serving, but not a call that demands the newer one', async () => {
    await world.activate(ALLOW_ALL);
    await askNow();
    await world.put(CONTROL_KEYS.policy(world.tenant), { digest: `sha256:${'0'.repeat(64)}` });
    const answer = await askNow();
    expect(answer.kind === 'refused' && answer.code).toBe('service.behind');
    expect(said(await world.ask(unaware()))).toBe('allow policy.allowed');
  });

  it('because its bytes cannot be had yet is loaded once they can', async () => {
    const { digest, bytes } = await bundleOf(bundle, 'tenant');
    await world.put(CONTROL_KEYS.policy(world.tenant), { digest });
    expect(said(await world.ask(unaware()))).toBe('allow policy.allowed');
    const store = await world.operator.objects('bundles');
    await store.putBlob({ name: digest }, bytes);
    await expect
      .poll(async () => said(await world.ask(unaware())), { timeout: 10_000 })
      .toBe('block policy.blocked');
    expect(said(await askNow())).toBe('block policy.blocked');
  });
});

// Modes and exceptions on a running worker: what it answers, what it records, and that a replay of it is identical.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { replayDecision } from '#cli/replay.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import type { DecisionEvidence, DecisionLeaf } from '#contracts/decision.ts';
import type { Exception } from '#contracts/exception.ts';
import { PLATFORM, revisionOf } from '#contracts/ids.ts';
import { type Canary, type ClassMode, CRITERIA_DEFAULT, type Mode } from '#contracts/mode.ts';
import { parsePayload } from '#contracts/payload.ts';
import { decodeRecords } from '#contracts/record.ts';
import { openBundle } from '#policies/engine/bundle.ts';
import { loadPolicy } from '#policies/engine/wasm.ts';

import { startWorld, type World } from '../../support/world.ts';

const POLICY = `package countersign.policy
default decision := {"verdict": "allow"}
decision := {"verdict": "block", "reason": "too_much"} if input.call.arguments.amount > 100
decision := {"verdict": "escalate"} if input.call.arguments.amount == 100
`;
const FLOOR = `package countersign.floor
default decision := {"verdict": "allow"}
decision := {"verdict": "block", "reason": "never"} if input.call.arguments.amount == 666
`;
const refund = (amount: number) => ({
  tool: 'refund_order',
  args: { order_id: 'A-1', amount },
});

let world: World;
let open: string;
beforeAll(async () => {
  world = await startWorld();
  await world.activate(FLOOR, { tenant: PLATFORM });
  await world.activate(POLICY);
  open = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
});
afterAll(() => world.close());

const ask = async (question: Parameters<World['ask']>[0]) => {
  const answer = await world.ask({ capability: open, ...question });
  if (answer.kind !== 'decided') throw new Error(JSON.stringify(answer));
  return answer;
};

/** Puts a value and waits until the worker judges by it. */
async function put(key: string, value: unknown): Promise<void> {
  const sequence = await world.put(key, value);
  const epoch = await world.operator.epoch('CONTROL');
  await ask({ tool: 'lookup_order', min_revision: revisionOf(epoch, sequence) });
}

const setMode = (mode: Mode, canary: Canary | null = null) =>
  put(CONTROL_KEYS.mode('acme', 'shop'), {
    class: 'shop',
    mode,
    canary,
    criteria: CRITERIA_DEFAULT,
    by: 'ada',
    reason: 'r',
    override: true,
    since: 1,
  } satisfies ClassMode);

/** The record of a decision, as the stream has it. */
async function recordOf({ body, position }: Awaited<ReturnType<typeof ask>>) {
  const message = await world.operator.jsm.streams.getMessage('DECISIONS', {
    seq: position.sequence,
  });
  const record = decodeRecords(message?.string() ?? '')[position.index];
  const leaf = JSON.parse(record?.leaf ?? '{}') as DecisionLeaf;
  expect(leaf.id).toBe(body.decision_id);
  const payload = record?.payload ?? '';
  const evidence = parsePayload(payload)?.sections['evidence'] as unknown as DecisionEvidence;
  const store = await world.operator.objects('bundles');
  const replay = await replayDecision(leaf, payload, async (digest, role) => {
    const bytes = await store.getBlob(digest);
    const policy = await loadPolicy(openBundle(bytes ?? new Uint8Array(), digest, role).bundle);
    return policy.evaluate;
  });
  return { leaf, evidence, replay };
}

/** What is told, what would have been, and whether the replay agrees. */
async function told(question: Parameters<World['ask']>[0]) {
  const answer = await ask(question);
  const { leaf, replay } = await recordOf(answer);
  const { verdict, reason, mode = 'enforce' } = answer.body;
  expect(leaf).toMatchObject({ verdict, mode, reason: reason.code });
  expect(replay.differences).toEqual([]);
  return [verdict, reason.code, leaf.verdict_before_mode, mode, answer.body.warning !== undefined];
}

describe('a mode', () => {
  const none = { capability: '' };
  const cases: [
    mode: Mode,
    name: string,
    question: Parameters<World['ask']>[0],
    expected: unknown[],
  ][] = [
    ['enforce', 'a block', refund(101), ['block', 'policy.blocked', 'block', 'enforce', false]],
    ['observe', 'an allow', refund(1), ['allow', 'policy.allowed', 'allow', 'observe', false]],
    ['observe', 'a block', refund(101), ['allow', 'policy.blocked', 'block', 'observe', true]],
    [
      'observe',
      'a hold',
      refund(100),
      ['allow', 'policy.needs_approval', 'escalate', 'observe', true],
    ],
    [
      'observe',
      'no capability',
      { ...refund(1), ...none },
      ['allow', 'capability.missing', 'block', 'observe', true],
    ],
    [
      'observe',
      'the floor behind no capability',
      { ...refund(666), ...none },
      ['block', 'policy.floor', 'block', 'observe', false],
    ],
    [
      'observe',
      'a tool nobody registered, behind no capability',
      { tool: 'unheard_of', ...none },
      ['block', 'tool.unknown', 'block', 'observe', false],
    ],
    [
      'soft-block',
      'a block',
      refund(101),
      ['block', 'policy.blocked', 'block', 'soft-block', false],
    ],
    [
      'soft-block',
      'a hold',
      refund(100),
      ['allow', 'policy.needs_approval', 'escalate', 'soft-block', true],
    ],
  ];
  it.each(cases)('%s: %s', async (mode, _name, question, expected) => {
    await setMode(mode);
    expect(await told(question)).toEqual(expected);
  });

  it('lifts no kill switch', async () => {
    await setMode('observe');
    const key = CONTROL_KEYS.switch('acme', 'tool', 'refund_order');
    const engaged = {
      scope: 'tool',
      id: 'refund_order',
      by: 'ada',
      reason: 'r',
      at: 1,
      release: null,
    };
    await put(key, engaged);
    expect(await told(refund(101))).toEqual([
      'block',
      'capability.killed',
      'block',
      'observe',
      false,
    ]);
    await put(key, null);
  });

  it('shows a caller without a capability what it lets it call, but nothing that is stopped', async () => {
    const seen = async () => {
      const answer = await world.ask({ ask: 'visible', capability: '', upstream: 'shop' });
      if (answer.kind !== 'visible') throw new Error(JSON.stringify(answer));
      return answer.tools.map(({ reason }) => reason);
    };
    await setMode('enforce');
    expect(await seen()).toEqual(['capability.missing', 'capability.missing']);
    await setMode('observe');
    expect(await seen()).toEqual(['', '']);
    const key = CONTROL_KEYS.switch('acme', 'tool', 'refund_order');
    const engaged = {
      scope: 'tool',
      id: 'refund_order',
      by: 'a',
      reason: 'r',
      at: 1,
      release: null,
    };
    await put(key, engaged);
    expect(await seen()).toEqual(['', 'capability.missing']);
    await put(key, null);
  });

  it('enforces the canary share of the sessions, each the same way every time', async () => {
    await setMode('observe', { percent: 50, by: 'session' });
    const sessions = Array.from({ length: 12 }, (_, one) => `session-${one}`);
    const round = () =>
      Promise.all(
        sessions.map(
          async (session_id) => (await ask({ ...refund(101), session_id })).body.verdict,
        ),
      );
    const first = await round();
    expect(new Set(first)).toEqual(new Set(['allow', 'block']));
    expect(await round()).toEqual(first);
  });
});

describe('an exception', () => {
  it('lifts its reason for whom it names, in enforce, until its time; the record names it', async () => {
    await setMode('enforce');
    const key = CONTROL_KEYS.exception('acme', 'big-refunds');
    const exception: Exception = {
      agent: 'shop-agent',
      tool: 'refund_order',
      reason: 'policy.blocked',
      why: 'ticket',
      expires_at: Date.now() + 3_600_000,
      by: 'ada',
      at: 1,
      review: null,
    };
    await put(key, exception);
    expect(await told(refund(101))).toEqual(['allow', 'policy.blocked', 'block', 'enforce', true]);
    const { leaf, evidence } = await recordOf(await ask(refund(101)));
    expect([leaf.exception, evidence.lifted]).toEqual([
      'big-refunds',
      [{ by: 'exception:big-refunds', reason: 'policy.blocked' }],
    ]);
    expect(await told(refund(100))).toEqual([
      'escalate',
      'policy.needs_approval',
      'escalate',
      'enforce',
      false,
    ]);
    expect(await told(refund(666))).toEqual(['block', 'policy.floor', 'block', 'enforce', false]);
    await put(key, { ...exception, expires_at: Date.now() - 1 });
    expect(await told(refund(101))).toEqual(['block', 'policy.blocked', 'block', 'enforce', false]);
  });
});

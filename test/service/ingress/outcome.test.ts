// What became of a call: reported once, by whoever asked, on record before it is answered.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { CallLines } from '#contracts/call.ts';
import { asDecisionId } from '#contracts/ids.ts';
import type { Reason } from '#contracts/reasons.ts';
import { reasonSpec } from '#contracts/reasons.ts';
import { commitment } from '#contracts/record.ts';
import { recordPublisher } from '#host/publish.ts';

import { createReportOutcome } from '../../../services/ingress/outcome.ts';
import {
  type Answered,
  answerTo,
  identity,
  startIngress,
  TENANT,
  type TestIngress,
} from '../../support/ingress.ts';

let world: TestIngress;
let seen: CallLines[];
/** Shift of the end of validity that the stand-in answers, in milliseconds. */
let validMs: number;
beforeAll(async () => {
  world = await startIngress();
  await world.standIn((calls, say) => {
    seen.push(...calls);
    say(
      calls.map(({ envelope }) => {
        const answer = answerTo(envelope);
        if (answer.kind !== 'decided') return answer;
        const until = new Date(Date.now() + validMs).toISOString();
        return { ...answer, body: { ...answer.body, valid_until: until } };
      }),
    );
  });
});
beforeEach(() => {
  seen = [];
  validMs = 30_000;
});
afterAll(() => world.close());

interface Asked {
  readonly id: string;
  readonly ref: string;
}

async function decided(agent = 'shop-agent'): Promise<Asked> {
  const authorization = `Bearer ${identity(agent)}`;
  const { body } = await world.post(
    '/v1/decisions',
    { tool: 't', arguments: {} },
    { authorization },
  );
  return { id: body['decision_id'] as string, ref: body['recorded'].ref as string };
}

const report = (asked: Asked, body: object, agent = 'shop-agent') =>
  world.post(
    `/v1/decisions/${asked.id}/outcome`,
    { ref: asked.ref, status: 'executed', ...body },
    { authorization: `Bearer ${identity(agent)}` },
  );
const refusal = ({ status, body }: Answered) => [status, body['reason'].code];
const as = (code: Reason) => [reasonSpec(code).status, code];

describe('an outcome', () => {
  it('is on record, signed by the ingress, when it is answered', async () => {
    const asked = await decided();
    const answer = await report(asked, { result: { b: 1, a: 'ü' }, error: 'late' });
    expect([answer.status, answer.body]).toEqual([
      200,
      { decision_id: asked.id, late: false, recorded: { durability: 'power-cut' } },
    ]);
    const stored = (await world.outcomes()).at(-1);
    const detail = '{"error":"late","result":{"a":"ü","b":1}}';
    const salt = stored?.payload.salts['detail'] ?? '';
    expect(stored).toEqual({
      mac: { writer: 'ingress' },
      leaf: {
        at: expect.any(Number) as number,
        commitments: { detail: commitment(salt, 'detail', detail) },
        decision_id: asked.id,
        id: asked.id,
        kind: 'outcome',
        late: false,
        reported_by: 'caller',
        status: 'executed',
        tenant: 'acme',
        v: 1,
      },
      payload: {
        v: 1,
        salts: { detail: salt },
        sections: { detail: JSON.parse(detail) as unknown },
      },
    });
    expect(salt).toMatch(/^[0-9a-f]{32}$/);
  });

  it('is proved by asking who this is, and nothing else', async () => {
    const asked = await decided();
    seen = [];
    await report(asked, {});
    expect(
      seen.map(({ envelope: { ask, tool, capability }, args }) => [ask, tool, capability, args]),
    ).toEqual([['visible', '', '', '{}']]);
  });

  it('told again is answered again and stored once; another one is refused', async () => {
    const asked = await decided();
    const before = (await world.outcomes()).length;
    const first = await report(asked, { status: 'failed', error: 'x' });
    const second = await report(asked, { status: 'failed', error: 'x' });
    expect([second.status, second.body]).toEqual([200, first.body]);
    expect(refusal(await report(asked, { status: 'executed' }))).toEqual(
      as('request.outcome_repeated'),
    );
    expect(refusal(await report(asked, { status: 'failed', error: 'y' }))).toEqual(
      as('request.outcome_repeated'),
    );
    expect((await world.outcomes()).length).toBe(before + 1);
  });

  it('told twice at once is stored once', async () => {
    const asked = await decided();
    const before = (await world.outcomes()).length;
    const answers = await Promise.all([1, 2, 3].map(() => report(asked, { result: 1 })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await world.outcomes()).length).toBe(before + 1);
  });

  it('of two kinds at once stands once', async () => {
    const asked = await decided();
    const before = (await world.outcomes()).length;
    const answers = await Promise.all(
      ['executed', 'failed', 'unknown'].map((status) => report(asked, { status })),
    );
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409, 409]);
    expect((await world.outcomes()).length).toBe(before + 1);
  });

  it('told to two replicas is stored once, and the second cannot vouch for it', async () => {
    const asked = await decided();
    const before = (await world.outcomes()).length;
    const keys = new Map([['ingress', [world.macKey]]]);
    const other = createReportOutcome(recordPublisher(await world.ingressBus(), keys));
    const outcome = {
      tenant: TENANT,
      decisionId: asDecisionId(asked.id),
      status: 'executed',
      reportedBy: 'caller',
      detail: '{}',
      late: false,
    } as const;
    expect((await report(asked, {})).status).toBe(200);
    expect([await other(outcome), await other(outcome)]).toEqual(['other', 'other']);
    expect((await world.outcomes()).length).toBe(before + 1);
  });

  it('after the end of validity is marked', async () => {
    validMs = -1;
    const answer = await report(await decided(), {});
    expect(answer.body).toMatchObject({ late: true });
    expect((await world.outcomes()).at(-1)?.leaf).toMatchObject({ late: true });
  });

  it('more than a day after it is nobody’s any more', async () => {
    validMs = -24 * 3_600_000 - 1;
    expect(refusal(await report(await decided(), {}))).toEqual(as('request.unknown_ref'));
  });

  it('is nobody else’s to report', async () => {
    const asked = await decided();
    expect(refusal(await report(asked, {}, 'other-agent'))).toEqual(as('request.unknown_ref'));
    expect((await report(asked, {})).status).toBe(200);
  });

  it.each<[string, (mine: Asked, other: Asked) => Asked]>([
    ['the ref of another decision', ({ id }, { ref }) => ({ id, ref })],
    ['the id of another decision', ({ ref }, { id }) => ({ id, ref })],
    ['a ref that was changed', ({ id, ref }) => ({ id, ref: `${ref.slice(0, -2)}AA` })],
    ['a ref that is none', ({ id }) => ({ id, ref: 'ref' })],
    ['an id that is none', ({ ref }) => ({ id: 'x', ref })],
  ])('with %s is unknown, and nobody is asked', async (_name, change) => {
    const changed = change(await decided(), await decided());
    seen = [];
    expect(refusal(await report(changed, {}))).toEqual(as('request.unknown_ref'));
    expect(seen).toEqual([]);
  });

  it.each<[string, object, Reason]>([
    ['of a status that only the platform reports', { status: 'delivered' }, 'request.schema'],
    ['with an unknown property', { verdict: 'allow' }, 'request.schema'],
    ['with a result beyond 64 KiB', { result: 'a'.repeat(65_535) }, 'request.too_large'],
    ['with an error beyond 4,000 characters', { error: 'a'.repeat(4_001) }, 'request.schema'],
  ])('%s is refused', async (_name, body, code) => {
    expect(refusal(await report(await decided(), body))).toEqual(as(code));
  });
});

describe('without acknowledgement', () => {
  it('an outcome is not answered as recorded, and may be told again', async () => {
    const asked = await decided();
    const { config } = await world.operator.jsm.streams.info('OUTCOMES');
    const before = (await world.outcomes()).length;
    await world.operator.jsm.streams.update('OUTCOMES', { ...config, max_msgs: before });
    expect(refusal(await report(asked, {}))).toEqual(as('evidence.outcome_unavailable'));
    await world.operator.jsm.streams.update('OUTCOMES', { ...config, max_msgs: -1 });
    expect((await report(asked, {})).status).toBe(200);
    expect((await world.outcomes()).length).toBe(before + 1);
  });
});

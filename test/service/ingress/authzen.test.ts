// AuthZEN Authorization API 1.0: the examples of the specification, its defaults and its three semantics.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { CallLines } from '#contracts/call.ts';
import { publicReason, type Reason, reasonSpec } from '#contracts/reasons.ts';

import {
  allowed,
  type Answered,
  identity,
  startIngress,
  type TestIngress,
} from '../../support/ingress.ts';

let world: TestIngress;
let seen: CallLines[];
beforeAll(async () => {
  world = await startIngress({ COUNTERSIGN_SOURCE_CALLS_PER_SECOND: '1000' });
  await world.standIn((calls, say) => {
    seen.push(...calls);
    say(
      calls.map(({ envelope, args }) => {
        const { id } = (JSON.parse(args) as { resource: { id: string } }).resource;
        if (id.includes('.')) {
          return { n: envelope.n, kind: 'refused', code: id as Reason, proven: false };
        }
        const verdict = id as 'allow' | 'block' | 'escalate';
        return allowed(envelope, { verdict, code: CODES[verdict] });
      }),
    );
  });
});
beforeEach(() => {
  seen = [];
});
afterAll(() => world.close());

const CODES = {
  allow: 'policy.allowed',
  block: 'policy.blocked',
  escalate: 'policy.needs_approval',
} as const;
const subject = { type: 'user', id: 'alice@example.com' };
const action = { name: 'can_read' };
/** The stand-in answers with the verdict, or the refusal, that the resource is named after. */
const resource = (id: string) => ({ type: 'document', id });
const of = (id: string) => ({ subject, action, resource: resource(id) });

const evaluate = (body: unknown, headers: Record<string, string> = {}) =>
  world.post('/access/v1/evaluation', body, headers);
const evaluateAll = (body: unknown, headers: Record<string, string> = {}) =>
  world.post('/access/v1/evaluations', body, headers);
const decisions = ({ status, body }: Answered) => [
  status,
  (body['evaluations'] as { decision: boolean }[]).map(({ decision }) => decision),
];
const refusal = ({ status, body }: Answered) => [status, body['reason'].code];
const as = (code: Reason) => [reasonSpec(code).status, code];

describe('an evaluation', () => {
  it('asks about the whole of it for the asserted subject', async () => {
    const body = {
      subject: { ...subject, properties: { department: 'Sales' }, extra: 1 },
      action: { name: 'can_read', properties: { method: 'GET' } },
      resource: resource('allow'),
      context: { time: '1985-10-26T01:22-07:00' },
      unknown: 'ignored',
    };
    await evaluate(body, { 'countersign-capability': 'cap' });
    const { unknown: _, ...whole } = body;
    expect(seen.map(({ args }) => JSON.parse(args) as unknown)).toEqual([whole]);
    expect(seen[0]?.envelope).toMatchObject({
      ask: 'evaluate',
      via: 'authzen',
      tenant: 'acme',
      capability: 'cap',
      tool: 'can_read',
      upstream: '',
      forwards: false,
      asserted: { type: 'user', id: 'alice@example.com' },
    });
  });

  it('always has a context for the policy', async () => {
    await evaluate(of('allow'));
    expect(JSON.parse(seen[0]?.args ?? '')).toEqual({ ...of('allow'), context: {} });
  });

  it('may name the upstream of an ambiguous tool in its context', async () => {
    await evaluate({ ...of('allow'), context: { 'countersign/upstream': 'shop' } });
    expect(seen[0]?.envelope.upstream).toBe('shop');
    const wrong = { ...of('allow'), context: { 'countersign/upstream': 'Not one' } };
    expect(refusal(await evaluate(wrong))).toEqual(as('request.schema'));
  });

  it.each([
    ['allow', true],
    ['block', false],
    ['escalate', false],
  ] as const)('%s is decision %s, explained in its context', async (verdict, decision) => {
    const { status, headers, body } = await evaluate(of(verdict));
    expect([status, headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8']);
    expect(body).toEqual({
      decision,
      context: {
        id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
        verdict,
        reason: publicReason(CODES[verdict]),
        policy: { digest: 'sha256:0', revision: 'r1-1' },
        obligations: [],
        valid_until: expect.any(String) as string,
        recorded: { durability: 'power-cut' },
      },
    });
  });

  it.each<[string, unknown]>([
    ['no subject', { action, resource: resource('allow') }],
    ['no action', { subject, resource: resource('allow') }],
    ['no resource', { subject, action }],
    ['a subject without id', { ...of('allow'), subject: { type: 'user' } }],
    ['a subject without type', { ...of('allow'), subject: { id: 'a' } }],
    ['a resource without id', { ...of('allow'), resource: { type: 'a' } }],
    ['an action without name', { ...of('allow'), action: {} }],
    ['a subject that is text', { ...of('allow'), subject: 'alice' }],
    ['properties that are a list', { ...of('allow'), subject: { ...subject, properties: [] } }],
    ['a context that is text', { ...of('allow'), context: 'now' }],
    ['a list', []],
  ])('with %s is a bad request', async (_name, body) => {
    expect(refusal(await evaluate(body))).toEqual(as('request.schema'));
    expect(seen).toEqual([]);
  });

  it.each<[Reason]>([['identity.signature'], ['service.stale']])(
    'that was not judged has the status of its reason: %s',
    async (code) => {
      expect(refusal(await evaluate(of(code)))).toEqual(as(code));
    },
  );

  it('without a caller is unauthorized', async () => {
    const answer = await evaluate(of('allow'), { authorization: '' });
    expect(refusal(answer)).toEqual(as('identity.missing'));
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="countersign"');
  });

  it.each([
    ['an answer', of('allow')],
    ['a bad request', {}],
  ])('gives the request id back with %s', async (_name, body) => {
    const answer = await evaluate(body, { 'x-request-id': 'bfe9eb29-ab87' });
    expect(answer.headers.get('x-request-id')).toBe('bfe9eb29-ab87');
  });
});

describe('evaluations', () => {
  it.each([
    ['absent', of('block')],
    ['empty', { ...of('block'), evaluations: [] }],
  ])('%s are a single evaluation', async (_name, body) => {
    const answer = await evaluateAll(body);
    expect([answer.status, answer.body['decision'], answer.body['evaluations']]).toEqual([
      200,
      false,
      undefined,
    ]);
  });

  it('take what they lack from the top level, and override it', async () => {
    const body = {
      subject,
      action,
      context: { time: 'now' },
      evaluations: [
        { resource: resource('allow') },
        { resource: resource('block'), action: { name: 'can_edit' }, context: {} },
        { resource: resource('allow'), subject: { type: 'user', id: 'bob' } },
      ],
    };
    expect(decisions(await evaluateAll(body))).toEqual([200, [true, false, true]]);
    expect(seen.map(({ args }) => JSON.parse(args) as unknown)).toEqual([
      { subject, action, resource: resource('allow'), context: { time: 'now' } },
      { subject, action: { name: 'can_edit' }, resource: resource('block'), context: {} },
      {
        subject: { type: 'user', id: 'bob' },
        action,
        resource: resource('allow'),
        context: { time: 'now' },
      },
    ]);
    expect(seen.map(({ envelope }) => envelope.asserted?.id)).toEqual([
      subject.id,
      subject.id,
      'bob',
    ]);
  });

  it.each<[string, string | undefined, string[], boolean[]]>([
    ['all by default', undefined, ['allow', 'block', 'allow'], [true, false, true]],
    ['all', 'execute_all', ['block', 'allow', 'escalate'], [false, true, false]],
    ['up to the first deny', 'deny_on_first_deny', ['allow', 'block', 'allow'], [true, false]],
    [
      'up to the first deny, an escalation being one',
      'deny_on_first_deny',
      ['escalate', 'allow'],
      [false],
    ],
    [
      'up to the first deny, a failure being one',
      'deny_on_first_deny',
      ['allow', 'service.stale', 'allow'],
      [true, false],
    ],
    ['all without any deny', 'deny_on_first_deny', ['allow', 'allow'], [true, true]],
    [
      'up to the first permit',
      'permit_on_first_permit',
      ['block', 'allow', 'allow'],
      [false, true],
    ],
    ['all without any permit', 'permit_on_first_permit', ['block', 'escalate'], [false, false]],
  ])('run %s', async (_name, semantic, ids, expected) => {
    const options = semantic === undefined ? {} : { options: { evaluations_semantic: semantic } };
    const evaluations = ids.map((id) => ({ resource: resource(id) }));
    const answer = await evaluateAll({ subject, action, evaluations, ...options });
    expect(decisions(answer)).toEqual([200, expected]);
    expect(seen.length).toBe(expected.length);
  });

  it('that fail are false, each with its own error', async () => {
    const evaluations = ['allow', 'service.stale'].map((id) => ({ resource: resource(id) }));
    const { body } = await evaluateAll({ subject, action, evaluations });
    expect((body['evaluations'] as unknown[])[1]).toEqual({
      decision: false,
      context: {
        verdict: 'block',
        reason: publicReason('service.stale'),
        error: { status: 503, message: publicReason('service.stale').message },
      },
    });
  });

  it('of a caller whose identity does not hold are unauthorized as a whole', async () => {
    const evaluations = ['allow', 'identity.expired'].map((id) => ({ resource: resource(id) }));
    expect(refusal(await evaluateAll({ subject, action, evaluations }))).toEqual(
      as('identity.expired'),
    );
  });

  it.each<[string, object, string]>([
    [
      'an evaluation without a subject',
      { action, evaluations: [{ resource: resource('allow') }] },
      '/evaluations/0 must have required properties subject.',
    ],
    [
      'a wrong second evaluation',
      { ...of('allow'), evaluations: [{}, { action: {} }] },
      '/evaluations/1/action must have required properties name.',
    ],
    [
      'an evaluation that is text',
      { ...of('allow'), evaluations: ['x'] },
      '/evaluations/0 must be object.',
    ],
    [
      'a wrong default',
      { ...of('allow'), subject: {}, evaluations: [of('allow')] },
      '/subject must have required properties type, id.',
    ],
    [
      'an unknown semantic',
      { ...of('allow'), options: { evaluations_semantic: 'any' } },
      '/options/evaluations_semantic must be equal to constant.',
    ],
    [
      'more than 100 evaluations',
      { ...of('allow'), evaluations: Array.from({ length: 101 }, () => ({})) },
      '/evaluations must not have more than 100 items.',
    ],
  ])('with %s are a bad request as a whole', async (_name, body, words) => {
    const answer = await evaluateAll(body);
    expect(refusal(answer)).toEqual(as('request.schema'));
    expect(answer.body['reason'].message).toContain(words);
    expect(seen).toEqual([]);
  });

  it('of which 100 go in one request are all answered', async () => {
    const evaluations = Array.from({ length: 100 }, () => ({}));
    const answer = await evaluateAll(
      { ...of('allow'), evaluations },
      { authorization: `Bearer ${identity('many')}` },
    );
    expect(decisions(answer)).toEqual([200, evaluations.map(() => true)]);
  });
});

describe('the configuration', () => {
  it('names the endpoints', async () => {
    const answer = await fetch(`${world.url}/.well-known/authzen-configuration`);
    expect(await answer.json()).toEqual({
      policy_decision_point: world.url,
      access_evaluation_endpoint: `${world.url}/access/v1/evaluation`,
      access_evaluations_endpoint: `${world.url}/access/v1/evaluations`,
    });
  });
});

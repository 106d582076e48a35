// Agent, person and actors out of a verified token.

import { expect, it } from 'vitest';

import { readClaims } from '../../../services/decision-worker/checks/claims.ts';

const chain = (...actors: string[]): object =>
  actors.reduceRight<object | undefined>(
    (act, sub) => ({ sub, ...(act === undefined ? {} : { act }) }),
    undefined,
  ) ?? {};

const cases: [
  name: string,
  payload: Record<string, unknown>,
  names: object | undefined,
  expected: object | string,
][] = [
  [
    'without act the agent is sub and acts for nobody',
    { sub: 'a' },
    undefined,
    { agent: 'a', person: '', actors: ['a'] },
  ],
  [
    'with act the person is sub and the agent the outermost actor',
    { sub: 'p', act: chain('a', 'b') },
    undefined,
    { agent: 'a', person: 'p', actors: ['a', 'b'] },
  ],
  [
    'a registered agent claim names the agent, sub the person',
    { sub: 'p', azp: 'client' },
    { agent: 'azp' },
    { agent: 'client', person: 'p', actors: ['client'] },
  ],
  [
    'a client that is its own subject acts for nobody',
    { sub: 'client', azp: 'client' },
    { agent: 'azp' },
    { agent: 'client', person: '' },
  ],
  [
    'act wins over the agent claim',
    { sub: 'p', azp: 'x', act: chain('a') },
    { agent: 'azp' },
    { agent: 'a', person: 'p' },
  ],
  [
    'a registered person claim names the person',
    { sub: 'id-1', email: 'p@x', act: chain('a') },
    { person: 'email' },
    { agent: 'a', person: 'p@x' },
  ],
  [
    'a token without the registered person claim acts for nobody',
    { sub: 'service-account-1', azp: 'client' },
    { agent: 'azp', person: 'email' },
    { agent: 'client', person: '' },
  ],
  [
    'with act and without the registered person claim the person is sub',
    { sub: 'p', act: chain('a') },
    { person: 'email' },
    { agent: 'a', person: 'p' },
  ],
  [
    'workflow, session and task by name',
    { sub: 'a', wf: 'w', session_id: 's', task_id: 't' },
    { workflow: 'wf' },
    { workflow: 'w', session: 's', task: 't' },
  ],
  ['no subject', {}, undefined, 'no agent in claim sub'],
  ['missing agent claim', { sub: 'p' }, { agent: 'azp' }, 'no agent in claim azp'],
  [
    'an agent claim that is no string',
    { sub: 'p', azp: ['x'] },
    { agent: 'azp' },
    'no agent in claim azp',
  ],
  ['an actor without a person', { act: chain('a') }, undefined, 'an actor without a person'],
  ['act that is no object', { sub: 'p', act: 'a' }, undefined, 'act is not an object'],
  ['act that is a list', { sub: 'p', act: [] }, undefined, 'act is not an object'],
  ['an actor without sub', { sub: 'p', act: {} }, undefined, 'an actor without sub'],
  [
    'an inner actor without sub',
    { sub: 'p', act: { sub: 'a', act: {} } },
    undefined,
    'an actor without sub',
  ],
  [
    'a chain without end',
    { sub: 'p', act: chain(...Array.from({ length: 40 }, (_, n) => `a${n}`)) },
    undefined,
    'the chain of actors has no end',
  ],
  ['a subject that is too long', { sub: 'x'.repeat(257) }, undefined, 'no agent in claim sub'],
  ['a subject with a lone surrogate', { sub: '\ud800' }, undefined, 'no agent in claim sub'],
];

it.each(cases)('%s', (_name, payload, names, expected) => {
  const claims = readClaims(payload, names);
  if (typeof expected === 'string') expect(claims).toBe(expected);
  else expect(claims).toMatchObject(expected);
});

// Four eyes over linked identities: nobody approves what they asked for, under whichever id, and nobody counts twice.

import { describe, expect, it } from 'vitest';

import type { Operator } from '#contracts/control.ts';
import type { DecisionStep } from '#contracts/held.ts';
import type { TenantId } from '#contracts/ids.ts';

import {
  eligible,
  peopleOf,
  type Requester,
  whyNot,
} from '../../../services/approval-escalation/may-decide.ts';

const tenant = 'acme' as TenantId;
const okta = (subject: string) => ({ issuer: 'okta', subject });
const entra = (subject: string) => ({ issuer: 'entra', subject });

const operator = (id: string, more: Partial<Operator> = {}): Operator => ({
  id,
  name: id,
  roles: ['approver'],
  token_hash: '',
  ...more,
});

/** alice has two accounts, and a third one that shares an identity only with the second. */
const OPERATORS = new Map(
  [
    operator('alice', { identities: [okta('alice@example.com'), entra('u-17')] }),
    operator('alice-admin', {
      identities: [entra('u-17'), { issuer: 'github', subject: 'al17' }],
    }),
    operator('al17-bot-owner', { identities: [{ issuer: 'github', subject: 'al17' }] }),
    operator('bob', { identities: [okta('bob@example.com')] }),
    operator('carol@example.com'),
    operator('dave'),
    operator('eve', { tenants: ['other' as TenantId] }),
    operator('viewer', { roles: ['viewer'] }),
    operator('deployer', { identities: [okta('svc-deployer')] }),
  ].map((one) => [one.id, one]),
);

const asked = (issuer: string, subjects: string[], editors: string[] = []): Requester => ({
  issuer,
  subjects,
  editors,
});
const NOBODY = asked('okta', []);

const vote = (by: string) => ({ by, stage: 0, at: 0, via: 'api' as const });
const why = (step: DecisionStep, by: string, requester: Requester, votes: readonly string[] = []) =>
  whyNot({ step, by: { id: by, stepped_up_at: 0 }, at: 0 }, OPERATORS, {
    tenant,
    requester,
    progress: {
      plan: {
        route: 'r',
        stages: [{ name: 's', approvers: [], quorum: 3 }],
        tiers: [],
        step_up_s: 0,
      },
      stage: 0,
      votes: votes.map(vote),
    },
  }) ?? 'may';

describe('a yes', () => {
  it.each<[string, string, Requester, string]>([
    ['of another person', 'bob', asked('okta', ['alice@example.com']), 'may'],
    ['of the delegating person', 'alice', asked('okta', ['alice@example.com']), 'self'],
    ['written in capitals', 'alice', asked('okta', ['ALICE@Example.com']), 'self'],
    ['in full-width letters', 'alice', asked('okta', ['ａlice@example.com']), 'self'],
    ['under a second id', 'alice-admin', asked('okta', ['alice@example.com']), 'self'],
    [
      'under an id that is linked to the second',
      'al17-bot-owner',
      asked('okta', ['alice@example.com']),
      'self',
    ],
    ['asked for under the third id', 'alice', asked('github', ['al17']), 'self'],
    ['of the same name at another issuer', 'alice', asked('github', ['alice@example.com']), 'may'],
    [
      'of a name that is the id itself',
      'carol@example.com',
      asked('okta', ['carol@example.com']),
      'self',
    ],
    ['of the id at any issuer', 'carol@example.com', asked('else', ['Carol@Example.com']), 'self'],
    [
      'of somebody whose agent is inside the chain',
      'deployer',
      asked('okta', ['bob@example.com', 'shop', 'svc-deployer']),
      'self',
    ],
    ['of the one who changed it', 'bob', asked('okta', [], ['bob']), 'self'],
    [
      'of the one who changed it, under another id',
      'alice',
      asked('okta', [], ['al17-bot-owner']),
      'self',
    ],
    ['of one who changed it and is gone', 'dave', asked('okta', [], ['gone']), 'may'],
    ['of another tenant', 'eve', NOBODY, 'not_approver'],
    ['without the role', 'viewer', NOBODY, 'not_approver'],
    ['of nobody who is registered', 'mallory', NOBODY, 'not_approver'],
  ])('%s', (_, by, requester, expected) => {
    expect(why('approve', by, requester)).toBe(expected);
  });

  it.each<[string, string, string[], string]>([
    ['after one of somebody else', 'bob', ['dave'], 'may'],
    ['that comes again', 'alice', ['alice'], 'may'], // and changes nothing: reduce.ts
    ['of the same person under another id', 'alice-admin', ['alice'], 'voted'],
    ['of the same person under a third id', 'al17-bot-owner', ['bob', 'alice'], 'voted'],
  ])('%s', (_, by, votes, expected) => {
    expect(why('approve', by, NOBODY, votes)).toBe(expected);
  });
});

describe('whoever asked for a call', () => {
  it.each<[DecisionStep, string]>([
    ['approve', 'self'],
    ['deny', 'may'],
    ['edit', 'may'], // somebody else has to approve what it becomes
    ['acknowledge', 'may'],
    ['cancel', 'not_approver'], // that takes an operator
    ['revoke', 'not_found'], // it is no grant
  ])('%s: %s', (step, expected) => {
    expect(why(step, 'alice', asked('okta', ['alice@example.com']))).toBe(expected);
  });
});

it('people are counted, not accounts', () => {
  const people = peopleOf(OPERATORS);
  const accounts = ['alice', 'alice-admin', 'al17-bot-owner'].map((id) => OPERATORS.get(id)!);
  for (const account of accounts) expect(people(account).size).toBe(3);
  const stage = { approvers: accounts.map(({ id }) => id) };
  expect(eligible(OPERATORS, stage, { tenant, requester: NOBODY })).toBe(1);
  const byAlice = asked('okta', ['alice@example.com']);
  expect(eligible(OPERATORS, stage, { tenant, requester: byAlice })).toBe(0);
  expect(eligible(OPERATORS, { approvers: [] }, { tenant, requester: byAlice })).toBe(4);
});

it('of any order of registrations the same people come', () => {
  const entries = [...OPERATORS];
  for (let turn = 0; turn < entries.length; turn++) {
    const turned = new Map([...entries.slice(turn), ...entries.slice(0, turn)]);
    for (const order of [turned, new Map([...turned].toReversed())]) {
      const people = peopleOf(order);
      const groups = new Set([...order.values()].map(people));
      expect([...groups].map(({ size }) => size).toSorted((one, other) => one - other)).toEqual([
        1, 1, 1, 1, 1, 1, 3,
      ]);
    }
  }
});

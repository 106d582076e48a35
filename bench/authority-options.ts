// What the checks cost that a call pays only where somebody switched them on: proofs of senders, age of facts, ceilings,
// the breaker of runaway agents, delegation. CPU of the worker alone: counters and the store of proofs answer at once.

import { hash, randomBytes, randomUUID } from 'node:crypto';

import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose';

import { attenuate, mintCapability, verifyCapability } from '#contracts/capability.ts';
import { judgeCaveats } from '#contracts/capability/judge.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import type { Agent } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import { NO_KEYS, type Sender } from '#contracts/sender.ts';

import { budgetCheck, type BudgetPoints } from '../services/decision-worker/checks/budget.ts';
import { standingGrant } from '../services/decision-worker/checks/capability.ts';
import { runawayLimits } from '../services/decision-worker/checks/runaway.ts';
import { provenKeys } from '../services/decision-worker/checks/sender.ts';
import type { Call, Principal } from '../services/decision-worker/decide.ts';
import { staleSourceOf } from '../services/decision-worker/points/fact-sources.ts';
import { proofVerifier } from '../services/decision-worker/points/proofs.ts';
import { scopeToken } from '../services/decision-worker/points/state.ts';
import { memory, type Step } from './steps.ts';

const TENANT = 'plain' as TenantId;
const AT = Date.now();
const TOKEN = 'identity';
const URL_ASKED = 'https://gateway.example/v1/decisions';

/** A call as far as these checks look at it. */
const call = (envelope: object) =>
  ({
    tenant: TENANT,
    envelope: { identity: TOKEN, tool: 'send_email', session_id: 's', ...envelope },
    args: '{"to":"alice@example.com"}',
    arguments: { to: 'alice@example.com' },
    at: AT,
    tool: { upstream: 'shop', tool: { name: 'send_email', upstream: 'shop' } },
    trace: [],
  }) as unknown as Call;

const by = {
  agent: 'support-1',
  actors: ['support-1'],
  agentClass: 'support',
  session: 's',
  task: 't',
  person: '',
} as unknown as Principal;

export async function optionSteps(): Promise<readonly Step[]> {
  return [...(await senders()), ...(await facts()), ...budgets(), ...delegation()];
}

async function senders(): Promise<readonly Step[]> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  const jkt = await calculateJwkThumbprint(jwk);
  const proof = await new SignJWT({
    htm: 'POST',
    htu: URL_ASKED,
    ath: hash('sha256', TOKEN, 'base64url'),
    jti: randomUUID(),
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: { ...jwk } })
    .setIssuedAt(Math.floor(AT / 1_000))
    .sign(privateKey);
  const verify = proofVerifier({ create: async () => 1, get: async () => null });
  const certificate = hash('sha256', randomBytes(32), 'base64url');
  const asked = { request: 'r', method: 'POST', url: URL_ASKED };
  const dpop = call({ sender: { ...asked, scheme: 'dpop', proof } satisfies Sender });
  const mtls = call({ sender: { ...asked, scheme: 'bearer', certificate } satisfies Sender });
  if ('fault' in (await provenKeys(dpop, { ...NO_KEYS, jkt }, verify))) throw new Error('no proof');
  return [
    ['sender: nothing to prove', () => provenKeys(call({}), NO_KEYS, verify)],
    ['sender: DPoP proof (ES256)', () => provenKeys(dpop, { ...NO_KEYS, jkt }, verify)],
    [
      'sender: bound to a TLS certificate',
      () => provenKeys(mtls, { ...NO_KEYS, 'x5t#S256': certificate }, verify),
    ],
  ];
}

async function facts(): Promise<readonly Step[]> {
  const { view, writer } = memory();
  for (const source of ['crm', 'idp', 'erp']) {
    const registered = { keys: [`${source}/people`], max_age_s: 60 };
    await writer.put(CONTROL_KEYS.source(TENANT, source), registered);
    await writer.put(CONTROL_KEYS.sourceTime(TENANT, source), { as_of: AT });
  }
  const stale = staleSourceOf(view);
  return [['age of one fact, three sources', () => stale(TENANT, 'erp/people/alice', AT)]];
}

function budgets(): readonly Step[] {
  const counters = {
    draw: async () => ({
      fits: true as const,
      used: 1,
      draw: { counter: 'c', take: 't', units: 1 },
    }),
    spent: () => undefined,
    giveBack: () => undefined,
    peek: async () => 1,
    scopeToken,
    settings: () => ({}),
    onRunaway: () => undefined,
  };
  const points = (more: Partial<BudgetPoints>): BudgetPoints => ({
    ...counters,
    ceilings: () => [],
    runaway: () => undefined,
    runawayLimits: runawayLimits(counters),
    ...more,
  });
  const one = { scope: 'tenant', window: 'month', calls: 1e9 } as const;
  const four = (['tenant', 'agent', 'session', 'task'] as const).map(
    (scope) => ({ scope, window: 'day', calls: 1e9 }) as const,
  );
  const held = { callLimits: [], amountLimits: [] } as never;
  const checked = (more: Partial<BudgetPoints>) => {
    const check = budgetCheck(points(more));
    return () => check(call({ ask: 'decide' }), by, held, undefined);
  };
  const rule = { class: 'support', repeats: 20, times_habit: 10 };
  return [
    ['ceilings: none', checked({})],
    ['ceilings: one', checked({ ceilings: () => [one] })],
    ['ceilings: four scopes', checked({ ceilings: () => four })],
    ['runaway breaker: repeats and habit', checked({ runaway: () => rule })],
  ];
}

function delegation(): readonly Step[] {
  const key = randomBytes(32);
  const claims = {
    jti: 'ZVPxAAABAgMEBQYHCAkKCw',
    issuer: 'countersign',
    tenant: TENANT,
    zone: 'default',
    subject: 'support-1',
    issuedAt: Math.floor(AT / 1_000),
    notBefore: null,
  };
  const opened = (links: number) => {
    let token = mintCapability({ claims, caveats: [{ t: 'tool_allow', tools: ['*'] }] }, key);
    for (let link = 1; link < links; link += 1)
      token = attenuate(token, [{ t: 'tool_allow', tools: ['send_*', 'read_*'] }]);
    const verified = verifyCapability(token, [key]);
    if (!verified.ok) throw new Error(verified.code);
    return verified.capability;
  };
  const asked = {
    tool: 'send_email',
    upstream: 'shop',
    arguments: {},
    agent: 'support-1',
    actors: ['support-1'],
    tenant: TENANT,
    task: '',
    audience: '',
    sender: NO_KEYS,
    nowMs: AT,
  };
  const [root, third] = [opened(1), opened(4)];
  const registered: Agent = { class: 'support', grant: { tools: ['*'] } };
  const chain = { ...by, registered, actors: ['support-1', 'planner', 'lead'] };
  return [
    ['delegation: caveats of a root', () => judgeCaveats(root, asked)],
    ['delegation: narrowed three times', () => judgeCaveats(third, asked)],
    [
      'delegation: standing grants of three agents in a chain',
      () => standingGrant(chain, TENANT, () => registered),
    ],
  ];
}

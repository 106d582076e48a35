/**
 * Fills a fresh system with the demo tenant, through the admin API as any operator would: the floor, an issuer of
 * agent identities, the shop's agent, its tools, facts, ceilings and policy, and a capability. Runs at every start
 * and changes only what is missing or different.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose';

import { CHECKOUT, placesIn } from '#cli/local/places.ts';
import { writePrivate } from '#cli/local/private-file.ts';
import type { Demo, Hint } from '#cli/local/run-state.ts';
import type { SignIn } from '#cli/local/secrets.ts';
import type { RunningSystem, Seeded } from '#cli/local/system.ts';
import { CliError } from '#cli/output.ts';
import type { Budgets } from '#contracts/ceilings.ts';
import type { Agent, Issuer, Tool, Upstream } from '#contracts/control.ts';
import { PLATFORM } from '#contracts/ids.ts';
import { sha256 } from '#contracts/record.ts';

import { SHOP_ORDERS, SHOP_TOOLS } from './shop-tools.ts';

const TENANT = 'demo';
const AGENT = 'shop-agent';
const PERSON = 'alice@shop.example';
const AUDIENCE = 'countersign';
const ISSUER = 'https://issuer.demo.example';
const DAY_S = 24 * 3_600;
const IDENTITY_DAYS = 30;
const CAPABILITY_DAYS = 30;
/** A capability is minted anew when it would end within this. */
const RENEW_DAYS = 7;
/** High enough not to be met by accident. */
const CEILINGS: Budgets = {
  ceilings: [
    { scope: 'tenant', window: 'hour', calls: 10_000_000 },
    { scope: 'agent', window: 'hour', calls: 5_000_000 },
  ],
};

type Send = (method: string, path: string, body?: unknown) => Promise<unknown>;

/** Seeds the demo; quick when nothing changed since the last start. */
export async function seedDemo(system: RunningSystem): Promise<Seeded> {
  const { secrets } = placesIn(system.dir);
  const file = (name: string) => join(secrets, `demo-${name}`);
  const send = adminOf(system);
  const key = await issuerKey(file('issuer.jwk'));
  const before = (await isEmpty(send)) ? {} : readMarks(file('seeded.json'));
  const steps = [...stepsOf(registrations(system, key)), ...system.secrets.signIns.map(signInStep)];
  const marks = await seed(send, steps, before);
  writePrivate(file('seeded.json'), `${JSON.stringify(marks, null, 2)}\n`);
  writePrivate(file('identity.jwt'), await identity(key));
  const kept = { token: file('capability.token'), until: file('capability.until') };
  await keepCapability(send, kept, Object.keys(before).length > 0);
  const demo: Demo = {
    tenant: TENANT,
    agent: AGENT,
    audience: AUDIENCE,
    identity_token_file: file('identity.jwt'),
    capability_file: file('capability.token'),
    operator_token_files: system.secrets.operatorTokenFiles,
  };
  return { demo, hints: HINTS };
}

/** What an earlier start did, by step: digest of its content, and of the policy that it made. */
type Marks = Readonly<Record<string, { readonly content: string; readonly policy?: string }>>;

/** One thing that the demo has. `run` gives the digest of the policy that it put, if any. */
interface Step {
  readonly name: string;
  readonly content: unknown;
  readonly run: (send: Send, before: string | undefined) => Promise<string | undefined>;
}

/** True for a system that knows nothing: new, or with its data removed while the secrets stayed. */
async function isEmpty(send: Send): Promise<boolean> {
  const status = (await send('GET', `/v1/tenants/${TENANT}/status`)) as {
    counts: Record<string, number>;
  };
  return Object.values(status.counts).every((count) => count === 0);
}

/** Runs the steps whose content is another than last time, so that what an operator changed since stays. */
async function seed(send: Send, steps: readonly Step[], before: Marks): Promise<Marks> {
  const marks: Record<string, Marks[string]> = {};
  await Promise.all(
    steps.map(async ({ name, content, run }) => {
      const stamp = sha256(JSON.stringify(content));
      const mark = before[name];
      const policy = mark?.content === stamp ? mark.policy : await run(send, mark?.policy);
      marks[name] = { content: stamp, ...(policy === undefined ? {} : { policy }) };
    }),
  );
  return marks;
}

function readMarks(path: string): Marks {
  if (!existsSync(path)) return {};
  // Written by an earlier start, in this form.
  return JSON.parse(readFileSync(path, 'utf8')) as Marks;
}

/** What `up` suggests to try; the README says the same. */
const HINTS: readonly Hint[] = [
  {
    title: 'Allowed: an agent looks up an order',
    command: `./countersign call lookup_order '{"order_id":"ord_1001"}'`,
    expect: 'shows: allow, policy.allowed',
  },
  {
    title: 'Blocked: destructive SQL on production',
    command: `./countersign call run_sql '{"database":"production","query":"DROP TABLE orders"}'`,
    expect: 'shows: block, policy.blocked (production_write)',
  },
  {
    title: 'Held: a refund above the limit waits for a person',
    command: `./countersign call refund_order '{"order_id":"ord_1002","amount":450}'`,
    expect: 'shows: escalate, policy.needs_approval (refund_over_limit)',
  },
];

function adminOf(system: RunningSystem): Send {
  const token = readFileSync(system.secrets.operatorTokenFiles[0] ?? '', 'utf8').trim();
  return async (method, path, body) => {
    const response = await fetch(new URL(path, system.urls.admin), {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        'countersign-reason': 'demo',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) {
      throw new CliError(
        `The demo could not be set up: ${method} ${path} was answered ${response.status}.`,
        {
          help: text.slice(0, 2_000),
        },
      );
    }
    return JSON.parse(text) as unknown;
  };
}

async function issuerKey(path: string): Promise<JWK> {
  if (!existsSync(path)) {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    writePrivate(
      path,
      JSON.stringify({ ...(await exportJWK(privateKey)), kid: 'demo-1', alg: 'ES256' }),
    );
  }
  // Written by the line above.
  return JSON.parse(readFileSync(path, 'utf8')) as JWK;
}

/** An agent that acts for a person: `sub` is the person, `act.sub` the agent (RFC 8693). */
async function identity(key: JWK): Promise<string> {
  return new SignJWT({ tenant: TENANT, act: { sub: AGENT }, workflow: 'support' })
    .setProtectedHeader({ alg: 'ES256', kid: 'demo-1' })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject(PERSON)
    .setIssuedAt()
    .setExpirationTime(`${IDENTITY_DAYS}d`)
    .sign(await importJWK(key, 'ES256'));
}

interface Registrations {
  readonly issuer: Issuer;
  readonly agent: Agent;
  readonly upstream: Upstream;
  readonly tools: readonly Tool[];
  readonly facts: readonly { readonly op: 'put'; readonly key: string; readonly value: unknown }[];
}

function registrations(system: RunningSystem, { kty, crv, x, y, kid, alg }: JWK): Registrations {
  const orders = Object.entries(SHOP_ORDERS);
  return {
    issuer: {
      issuer: ISSUER,
      jwks: { keys: [{ kty, crv, x, y, kid, alg }] },
      audiences: [AUDIENCE],
    },
    agent: { class: 'support', owner: PERSON, issuer: 'demo-idp' },
    upstream: {
      url: new URL('/mcp', system.urls.upstream).href,
      kind: 'mcp',
      credential: { file: system.secrets.upstreamTokenFile },
    },
    tools: SHOP_TOOLS.map(({ name, description, inputSchema, class: kind }) => ({
      name,
      upstream: 'shop',
      description,
      class: kind,
      input_schema: { ...inputSchema },
    })),
    facts: [
      ...orders.map(([id, { customer, total }]) => ({
        op: 'put' as const,
        key: `orders/${id}`,
        value: { id, customer, total },
      })),
      ...orders.map(([, { customer }]) => ({
        op: 'put' as const,
        key: `customers/${customer}`,
        value: { customer: true },
      })),
    ],
  };
}

function stepsOf(what: Registrations): Step[] {
  const at = (path: string) => `/v1/tenants/${TENANT}/${path}`;
  const step = (name: string, method: string, path: string, content: unknown): Step => ({
    name,
    content,
    run: async (send) => void (await send(method, at(path), content)),
  });
  return [
    policyStep('floor', PLATFORM),
    policyStep('starter', TENANT),
    step('issuer', 'PUT', 'issuers/demo-idp', what.issuer),
    step('agent', 'PUT', `agents/${AGENT}`, what.agent),
    step('facts', 'POST', 'facts', { changes: what.facts }),
    step('budgets', 'PUT', 'budgets', CEILINGS),
    step('upstream', 'PUT', 'upstreams/shop', what.upstream),
    {
      name: 'tools',
      content: what.tools,
      // Tools want their upstream first; putting it twice does no harm.
      run: async (send) => {
        await send('PUT', at('upstreams/shop'), what.upstream);
        await send('PUT', at('tools'), { tools: what.tools });
        return undefined;
      },
    },
  ];
}

/** A person of the demo can sign in to the pages. The mark has only a digest of what with. */
const signInStep = ({ id, password, totp }: SignIn): Step => ({
  name: `sign-in-${id}`,
  content: { password, totp },
  run: async (send) => {
    await send('PUT', `/v1/operators/${id}/password`, { password });
    await send('PUT', `/v1/operators/${id}/totp`, { secret: totp });
    return undefined;
  },
});

/** The floor runs for the platform, the starter policy for the tenant; both are built and tested by the admin API. */
function policyStep(name: 'floor' | 'starter', tenant: string): Step {
  const files = policyFiles(name);
  const path = `/v1/tenants/${tenant}/policies`;
  return {
    name,
    content: files,
    run: async (send, before) => {
      // The shapes of these answers are fixed in contracts/admin-api.ts.
      const { digest } = (await send('POST', path, { files, name })) as { digest: string };
      const { active } = (await send('GET', path)) as { active: string | null };
      // Whoever activated a policy of their own keeps it.
      if (active === null || active === before) await send('POST', `${path}/${digest}/activate`);
      return digest;
    },
  };
}

function policyFiles(name: 'floor' | 'starter'): Record<string, string> {
  const folder = join(CHECKOUT, 'policies', name);
  const files = readdirSync(folder).filter((file) => /\.(rego|json)$/.test(file));
  return Object.fromEntries(
    files.sort().map((file) => [file, readFileSync(join(folder, file), 'utf8')]),
  );
}

/** One capability for all tools of the shop, kept until it is about to end. */
async function keepCapability(
  send: Send,
  files: { readonly token: string; readonly until: string },
  known: boolean,
): Promise<void> {
  const until =
    known && existsSync(files.until) ? Date.parse(readFileSync(files.until, 'utf8')) : 0;
  if (existsSync(files.token) && until > Date.now() + RENEW_DAYS * DAY_S * 1_000) return;
  const minted = (await send('POST', `/v1/tenants/${TENANT}/capabilities`, {
    agent: AGENT,
    tools: SHOP_TOOLS.map(({ name }) => name),
    upstreams: ['shop'],
    expires_in_s: CAPABILITY_DAYS * DAY_S,
  })) as { capability: string; expires_at: string };
  writePrivate(files.token, minted.capability);
  writePrivate(files.until, minted.expires_at);
}

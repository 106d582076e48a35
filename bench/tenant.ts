// A tenant to measure with: an issuer, agents that act for persons, the shop's tools, the starter policy below the
// shipped floor, capabilities. What the projector would write is written directly, so that no admin has to run.

import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import { SHOP_TOOLS } from '#cli/demo/shop-tools.ts';
import { findBinary } from '#cli/local/binaries.ts';
import { CHECKOUT } from '#cli/local/places.ts';
import {
  capabilityId,
  deriveTenantKey,
  mintCapability,
  verifyCapability,
} from '#contracts/capability.ts';
import type { Budgets } from '#contracts/ceilings.ts';
import { CONTROL_KEYS, mintedKey, type MintedRoot } from '#contracts/control.ts';
import { PLATFORM, type TenantId } from '#contracts/ids.ts';
import type { PolicyRole } from '#contracts/policy.ts';
import type { Bus } from '#host/nats.ts';
import { buildBundle } from '#policies/engine/build.ts';
import type { NamedBundle } from '#policies/engine/bundle.ts';

import { FRESH, type LoadJob } from './load.ts';

export type Requests = LoadJob['requests'];

const AGENTS = 8;
const TOOL = 'send_email';
const ISSUER = 'https://idp.bench.example';
const TOKEN_LIFE_S = 24 * 3_600;
/** With the names around it about 1.4 KB of body. */
const MAIL_CHARS = 1_100;

/** Where a tenant's state goes: the buckets of a broker, or memory. */
export interface ControlWriter {
  readonly put: (key: string, value: unknown) => Promise<void>;
  readonly activate: (tenant: string, bundle: NamedBundle) => Promise<void>;
  readonly mint: (tenant: TenantId, agent: string) => Promise<string>;
}

/** Writes control state as the projector does: the value, then the head. */
export async function controlWriter(bus: Bus, masterKey: Uint8Array): Promise<ControlWriter> {
  const control = await bus.bucket('control');
  const keyed = await bus.bucket('keyed');
  const bundles = await bus.objects('bundles');
  const epoch = await bus.epoch('CONTROL');
  let sequence = 0;
  const put = async (key: string, value: unknown) => {
    sequence += 1;
    const entry = (what: unknown) => JSON.stringify({ sequence, at: Date.now(), value: what });
    await control.put(key, entry(value));
    await control.put(CONTROL_KEYS.head, entry({ epoch }));
  };
  return {
    put,
    activate: async (tenant, { digest, bytes }) => {
      await bundles.putBlob({ name: digest }, bytes);
      await put(CONTROL_KEYS.policy(tenant), { digest });
    },
    mint: async (tenant, agent) => {
      const { token, key, minted } = mintRoot(masterKey, tenant, agent);
      await keyed.put(key, JSON.stringify(minted));
      return token;
    },
  };
}

/** A capability for the shop's tools, and the entry by which workers know that it was minted here. */
export function mintRoot(
  masterKey: Uint8Array,
  tenant: TenantId,
  agent: string,
): { readonly token: string; readonly key: string; readonly minted: MintedRoot } {
  const tenantKey = deriveTenantKey(masterKey, tenant);
  const issuedAt = Math.floor(Date.now() / 1_000);
  const jti = capabilityId(issuedAt, randomBytes(12));
  const claims = { jti, issuer: 'countersign', tenant, zone: 'default', subject: agent };
  const caveats = [
    { t: 'exp' as const, exp: issuedAt + TOKEN_LIFE_S },
    { t: 'tool_allow' as const, tools: SHOP_TOOLS.map(({ name }) => name) },
  ];
  const token = mintCapability(
    { claims: { ...claims, issuedAt, notBefore: null }, caveats },
    tenantKey,
  );
  const verified = verifyCapability(token, [tenantKey]);
  if (!verified.ok) throw new Error(verified.code);
  const minted: MintedRoot = {
    signature_hash: verified.capability.links.at(-1) ?? '',
    caveats: caveats.length,
    agent,
    expires_at: issuedAt + TOKEN_LIFE_S,
  };
  return { token, key: mintedKey(tenant, jti), minted };
}

/** A policy of the repository, built as the admin builds it. */
export async function shippedPolicy(role: PolicyRole): Promise<NamedBundle> {
  const folder = join(CHECKOUT, 'policies', role === 'floor' ? 'floor' : 'starter');
  const files: Record<string, string> = {};
  for (const name of await readdir(folder)) {
    if (/\.(rego|json)$/.test(name)) files[name] = await readFile(join(folder, name), 'utf8');
  }
  const built = await buildBundle({ files, role, opa: await findBinary('opa') });
  if (!built.ok) throw new Error(`${folder}: ${JSON.stringify(built.findings)}`);
  return built.bundle;
}

/** Who signs the agents' identities of all tenants here. */
export interface IdentityProvider {
  readonly jwk: object;
  readonly identity: (tenant: TenantId, agent: string) => Promise<string>;
}

export async function identityProvider(): Promise<IdentityProvider> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  return {
    jwk: { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' },
    identity: (tenant, agent) =>
      new SignJWT({ tenant, act: { sub: agent }, workflow: 'support' })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
        .setIssuer(ISSUER)
        .setAudience('countersign')
        .setSubject('alice@example.com')
        .setIssuedAt()
        .setExpirationTime(`${TOKEN_LIFE_S}s`)
        .sign(privateKey),
  };
}

/** Fills a tenant and gives calls of its agents, every one of them allowed. */
export async function fillTenant(
  tenant: TenantId,
  writer: ControlWriter,
  from: {
    readonly provider: IdentityProvider;
    readonly policy: NamedBundle;
    readonly ceilings?: Budgets['ceilings'];
    readonly callIds?: boolean;
    readonly agents?: number;
  },
): Promise<Requests> {
  const { provider, policy, ceilings = [], callIds = false, agents = AGENTS } = from;
  await writer.put(CONTROL_KEYS.issuer(tenant, 'idp'), {
    issuer: ISSUER,
    jwks: { keys: [provider.jwk] },
    audiences: ['countersign'],
  });
  await writer.put(CONTROL_KEYS.upstream(tenant, 'shop'), { url: 'http://127.0.0.1:1/mcp' });
  for (const { name, inputSchema } of SHOP_TOOLS) {
    const tool = { name, upstream: 'shop', input_schema: inputSchema };
    await writer.put(CONTROL_KEYS.tool(tenant, 'shop', name), tool);
  }
  await writer.activate(tenant, policy);
  if (ceilings.length > 0) await writer.put(CONTROL_KEYS.budgets(tenant), { ceilings });
  return Promise.all(
    Array.from({ length: agents }, async (_, index) => {
      const agent = `support-${index}`;
      await writer.put(CONTROL_KEYS.agent(tenant, agent), { class: 'support', issuer: 'idp' });
      return {
        headers: {
          authorization: `Bearer ${await provider.identity(tenant, agent)}`,
          'countersign-capability': await writer.mint(tenant, agent),
        },
        body: JSON.stringify({
          tool: TOOL,
          upstream: 'shop',
          ...(callIds ? { call_id: FRESH } : {}),
          session_id: `session-${agent}`,
          task_id: 'ticket-4711',
          intent: { purpose: 'Answer the customer of ticket 4711', allowed_tools: [TOOL] },
          arguments: {
            to: 'orders@shop.example',
            subject: 'Your order ord_1001',
            body: 'All is well with your order. '.repeat(40).slice(0, MAIL_CHARS),
          },
        }),
      };
    }),
  );
}

/** The platform's own policy, without which no worker is ready. */
export async function activateFloor(writer: ControlWriter): Promise<NamedBundle> {
  const floor = await shippedPolicy('floor');
  await writer.activate(PLATFORM, floor);
  return floor;
}

// A small world around one or more decision workers: a real broker with the shipped permissions, streams from the
// table, an issuer, an agent, tools, the floor and a policy. What the projector would write is written directly.

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import { findBinary } from '#cli/local/binaries.ts';
import { type CallEnvelope, DEADLINE_MAX_MS, type WorkerAnswer } from '#contracts/call.ts';
import {
  capabilityId,
  deriveTenantKey,
  mintCapability,
  verifyCapability,
} from '#contracts/capability.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import { type Agent, CONTROL_KEYS, mintedKey, type Tool } from '#contracts/control.ts';
import { PLATFORM, type Revision, revisionOf, type TenantId } from '#contracts/ids.ts';
import { canonical, type Json } from '#contracts/json.ts';
import { POLICY_ENTRYPOINTS, type PolicyRole } from '#contracts/policy.ts';
import { createLog } from '#host/log.ts';
import { type Bus, connectBus } from '#host/nats.ts';
import { nameBundle } from '#policies/engine/bundle.ts';

import type { WorkerConfig } from '../../services/decision-worker/config.ts';
import { start as startWorker } from '../../services/decision-worker/main.ts';
import { createAsk } from '../../services/ingress/ask.ts';
import { migrateStreams } from '../../services/migrate/streams.ts';
import { startNats, type TestNats } from './servers.ts';

const run = promisify(execFile);

export const ALLOW_ALL = `package countersign.policy
decision := {"verdict": "allow"}
`;
export const OPEN_FLOOR = `package countersign.floor
decision := {"verdict": "allow"}
`;

/** All have a key, and every process of this world gets all keys. */
const WRITERS = [
  'decision-worker',
  'approval-escalation',
  'audit-chainer',
  'admin',
  'ingress',
  'notifier',
];

export interface Identity {
  readonly sub?: string;
  readonly act?: object;
  readonly expiresIn?: string;
  readonly claims?: Record<string, unknown>;
  readonly audience?: string;
}

export interface World {
  readonly nats: TestNats;
  readonly operator: Bus;
  readonly tenant: TenantId;
  /** Judged by whoever knows all that was put, unless the call demands another revision. */
  readonly ask: (
    call: Partial<CallEnvelope> & { readonly args?: Json; readonly deadlineMs?: number },
  ) => Promise<WorkerAnswer>;
  /** Writes a value as the projector would and moves the head; gives the sequence. */
  readonly put: (key: string, value: unknown) => Promise<number>;
  /** Demands nothing: a call with it is judged by what its worker knows, however late that may be. */
  readonly unaware: Revision;
  readonly identity: (what?: Identity) => Promise<string>;
  /** `known: false` signs a capability as a key holder could, without minting its root. */
  readonly mint: (
    caveats: Caveat[],
    subject?: string,
    options?: { known?: boolean },
  ) => Promise<string>;
  readonly activate: (
    rego: string,
    options?: { facts?: object; tenant?: TenantId },
  ) => Promise<string>;
  /** Configuration of one more worker, for one that runs as a process of its own. */
  readonly workerConfig: () => WorkerConfig;
  readonly startWorker: () => Promise<{ readonly stop: () => Promise<void> }>;
  /** Master key of capabilities, as workers have it. */
  readonly capabilityMaster: Uint8Array;
  /** MAC keys of all writers. */
  readonly macKeysFile: string;
  readonly bus: (user: string) => Promise<Bus>;
  readonly file: (name: string, text: string) => Promise<string>;
  readonly close: () => Promise<void>;
}

export const TOOLS: Tool[] = [
  { name: 'lookup_order', upstream: 'shop' },
  {
    name: 'refund_order',
    upstream: 'shop',
    input_schema: {
      type: 'object',
      properties: { order_id: { type: 'string' }, amount: { type: 'number' } },
      required: ['order_id', 'amount'],
      additionalProperties: false,
    },
  },
];

/** Builds a bundle with the opa command, once. */
export async function bundleOf(
  ...given: Parameters<typeof buildBundle>
): ReturnType<typeof buildBundle> {
  const key = JSON.stringify(given);
  const building = bundles.get(key) ?? buildBundle(...given);
  bundles.set(key, building);
  return building;
}
const bundles = new Map<string, ReturnType<typeof buildBundle>>();

async function buildBundle(rego: string, role: PolicyRole, facts: object = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'countersign-bundle-'));
  try {
    await writeFile(join(dir, 'policy.rego'), rego);
    const out = join(dir, 'bundle.tar.gz');
    const opa = await findBinary('opa', console.error);
    await run(opa, [
      'build',
      '-t',
      'wasm',
      '-e',
      POLICY_ENTRYPOINTS[role],
      '-o',
      out,
      join(dir, 'policy.rego'),
    ]);
    await run('tar', ['-xzf', out, '-C', dir]);
    const wasm = (await readFile(join(dir, 'policy.wasm'))).toString('base64');
    return nameBundle({
      v: 1,
      role,
      files: { 'policy.rego': rego },
      data: {},
      facts: facts as never,
      opa: '1.22.0',
      entrypoint: POLICY_ENTRYPOINTS[role],
      wasm,
    });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const KNOWN_WAIT_MS = 20_000;

/** Asks again while a worker has not got so far: it refuses before it judges or records anything. */
async function onceKnown(ask: () => Promise<WorkerAnswer>): Promise<WorkerAnswer> {
  const deadline = Date.now() + KNOWN_WAIT_MS;
  for (;;) {
    const answer = await ask();
    const behind = answer.kind === 'refused' && answer.code === 'service.behind';
    if (!behind || Date.now() > deadline) return answer;
  }
}

export async function startWorld(
  options: { workers?: number; traces?: string } = {},
): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), 'countersign-world-'));
  const nats = await startNats({ shipped: true });
  const log = createLog('test', 'fatal');
  const closing: (() => Promise<unknown>)[] = [];
  const bus = async (user: string) => {
    const connected = await connectBus({
      url: nats.url,
      user,
      passwordFile: nats.passwordFile(user),
      monitorUrl: nats.monitorUrl,
    });
    closing.push(connected.close);
    return connected;
  };
  const file = async (name: string, text: string) => {
    const path = join(dir, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  const key = () => randomBytes(32).toString('base64');
  const master = key();
  const macKeys = Object.fromEntries(WRITERS.map((writer) => [writer, key()]));
  const macKeysFile = await file('mac.json', JSON.stringify(macKeys));
  const capabilityKeysFile = await file('capability.json', JSON.stringify([master]));
  const pseudonymKeyFile = await file('pseudonym', key());

  await migrateStreams(await bus('migrate'), { replicas: 1, shrink: 64 });
  const operator = await bus('operator');
  const control = await operator.bucket('control');
  const keyed = await operator.bucket('keyed');
  const epoch = await operator.epoch('CONTROL');
  let sequence = 0;
  let known = 0;
  const put = async (name: string, value: unknown) => {
    const mine = (sequence += 1);
    await control.put(name, JSON.stringify({ sequence: mine, at: Date.now(), value }));
    const head = { sequence: mine, at: Date.now(), value: { epoch } };
    await control.put(CONTROL_KEYS.head, JSON.stringify(head));
    known = Math.max(known, mine);
    return mine;
  };

  const tenant = 'acme' as TenantId;
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' };
  await put(CONTROL_KEYS.issuer(tenant, 'idp'), {
    issuer: 'https://idp.example',
    jwks: { keys: [jwk] },
    audiences: ['countersign'],
  });
  await put(CONTROL_KEYS.agent(tenant, 'shop-agent'), {
    class: 'shop',
    issuer: 'idp',
  } satisfies Agent);
  await put(CONTROL_KEYS.upstream(tenant, 'shop'), { url: 'http://127.0.0.1:1/mcp', kind: 'mcp' });
  for (const tool of TOOLS)
    await put(CONTROL_KEYS.tool(tenant, tool.upstream ?? '', tool.name), tool);

  const activate: World['activate'] = async (rego, { facts = {}, tenant: whose = tenant } = {}) => {
    const named = await bundleOf(rego, whose === PLATFORM ? 'floor' : 'tenant', facts);
    const store = await operator.objects('bundles');
    await store.putBlob({ name: named.digest }, named.bytes);
    await put(CONTROL_KEYS.policy(whose), { digest: named.digest });
    return named.digest;
  };
  await activate(OPEN_FLOOR, { tenant: PLATFORM });

  const workerConfig = () => ({
    COUNTERSIGN_NATS_URL: nats.url,
    COUNTERSIGN_NATS_PASSWORD_FILE: nats.passwordFile('decision-worker'),
    COUNTERSIGN_NATS_MONITOR_URL: nats.monitorUrl,
    COUNTERSIGN_HEALTH_PORT: 0,
    OTEL_EXPORTER_OTLP_ENDPOINT: options.traces ?? '',
    COUNTERSIGN_LOG_LEVEL: process.env['TEST_LOG'] ?? 'fatal',
    COUNTERSIGN_MAC_KEYS_FILE: macKeysFile,
    COUNTERSIGN_CAPABILITY_KEYS_FILE: capabilityKeysFile,
    COUNTERSIGN_PSEUDONYM_KEY_FILE: pseudonymKeyFile,
    COUNTERSIGN_WORKER_ID: `w${randomBytes(4).toString('hex')}`,
    COUNTERSIGN_CAPABILITY_AUDIENCE: 'countersign',
  });
  const startOne = async () => {
    const running = await startWorker(workerConfig());
    closing.push(running.stop);
    return running;
  };
  for (let count = 0; count < (options.workers ?? 1); count += 1) await startOne();

  const asking = createAsk(await bus('ingress'));
  const identity: World['identity'] = ({
    sub = 'alice@example.com',
    act = { sub: 'shop-agent' },
    expiresIn = '1h',
    claims = {},
    audience = 'countersign',
  } = {}) =>
    new SignJWT({ tenant, act, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .setIssuer('https://idp.example')
      .setAudience(audience)
      .setSubject(sub)
      .setIssuedAt()
      .setExpirationTime(expiresIn)
      .sign(privateKey);
  const token = await identity();
  const mint: World['mint'] = async (caveats, subject = 'shop-agent', { known = true } = {}) => {
    const issuedAt = Math.floor(Date.now() / 1000);
    const jti = capabilityId(issuedAt, randomBytes(12));
    const tenantKey = deriveTenantKey(Buffer.from(master, 'base64'), tenant);
    const claims = {
      jti,
      issuer: 'countersign',
      tenant,
      zone: 'default',
      subject,
      issuedAt,
      notBefore: null,
    };
    const capability = mintCapability({ claims, caveats }, tenantKey);
    const verified = verifyCapability(capability, [tenantKey]);
    if (!verified.ok) throw new Error(verified.code);
    const minted = {
      signature_hash: verified.capability.links.at(-1),
      caveats: caveats.length,
      agent: subject,
      expires_at: 0,
    };
    if (known) await keyed.put(mintedKey(tenant, jti), JSON.stringify(minted));
    return capability;
  };
  return {
    nats,
    operator,
    tenant,
    put,
    unaware: revisionOf(epoch, 0),
    identity,
    mint,
    activate,
    workerConfig,
    startWorker: startOne,
    capabilityMaster: Buffer.from(master, 'base64'),
    macKeysFile,
    bus,
    file,
    ask: ({ args = {}, deadlineMs = DEADLINE_MAX_MS, ...call }) => {
      const question = {
        ask: 'decide',
        via: 'http',
        tenant,
        identity: token,
        capability: '',
        tool: 'lookup_order',
        upstream: '',
        forwards: false,
        client: { address: '127.0.0.1', name: '', version: '', era: '' },
        args: canonical(args),
        deadlineMs,
        min_revision: revisionOf(epoch, known),
        ...call,
      } as const;
      const ask = () => asking.ask(question);
      return call.min_revision === undefined ? onceKnown(ask) : ask();
    },
    close: async () => {
      log.flush();
      await asking.close();
      for (const close of closing.reverse()) await close().catch(() => undefined);
      await nats.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

// One ingress over a real broker with the shipped permissions, and stand-ins for workers that answer as a test says:
// late, wrong, in any order or not at all. What the projector would write is written directly.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { anyFreePort } from '#cli/local/ports.ts';
import {
  type CallEnvelope,
  type CallLines,
  decodeCalls,
  encodeAnswers,
  type WorkerAnswer,
} from '#contracts/call.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { asDecisionId, type TenantId, uuid7 } from '#contracts/ids.ts';
import { checkMac } from '#contracts/mac.ts';
import { publicReason, type Reason } from '#contracts/reasons.ts';
import { decodeRecords } from '#contracts/record.ts';
import { HEADERS, SUBJECTS, WORKER_QUEUE } from '#contracts/subjects.ts';
import { readConfig } from '#host/config.ts';
import { type Bus, connectBus } from '#host/nats.ts';

import { IngressConfig } from '../../services/ingress/config.ts';
import { start } from '../../services/ingress/main.ts';
import { migrateStreams } from '../../services/migrate/streams.ts';
import { startNats, type TestNats } from './servers.ts';
import { jwt } from './unsigned-jwt.ts';

export const TENANT = 'acme' as TenantId;
export const ISSUER = 'https://idp.example';

/** What a stand-in does with the calls of one message: `say` publishes answers or raw bytes to the reply subject. */
export type Handle = (
  calls: readonly CallLines[],
  say: (answers: readonly WorkerAnswer[] | string) => void,
) => void;

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, any>; // oxlint-disable-line typescript/no-explicit-any -- answers of many shapes
}

export interface StoredOutcome {
  readonly leaf: unknown;
  readonly payload: { readonly salts: Record<string, string>; readonly sections: unknown };
  readonly mac: ReturnType<typeof checkMac>;
}

export interface TestIngress {
  readonly nats: TestNats;
  readonly url: string;
  readonly healthUrl: string;
  readonly operator: Bus;
  /** Key by which the ingress signs what it stores. */
  readonly macKey: Uint8Array;
  readonly ingressBus: () => Promise<Bus>;
  /** Every message with calls, in order, as the workers' queue group gets it. */
  readonly standIn: (handle: Handle) => Promise<{ readonly stop: () => Promise<void> }>;
  readonly put: (key: string, value: unknown) => Promise<void>;
  readonly post: (
    path: string,
    body: unknown,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Answered>;
  /** Every stored outcome, and who signed it. */
  readonly outcomes: () => Promise<StoredOutcome[]>;
  readonly close: () => Promise<void>;
}

/** An identity of an agent; stand-ins do not look at its signature. */
export const identity = (agent = 'shop-agent', claims: object = {}): string =>
  jwt({
    iss: ISSUER,
    tenant: TENANT,
    sub: agent,
    exp: Math.floor(Date.now() / 1_000) + 600,
    ...claims,
  });

/** An answer that allows, as a worker would give it for an agent of that name. */
export function allowed(
  { n, call_id: callId }: Pick<CallEnvelope, 'n' | 'call_id'>,
  change: { verdict?: 'allow' | 'block' | 'escalate'; code?: Reason; agent?: string } = {},
): WorkerAnswer {
  const { verdict = 'allow', code = 'policy.allowed', agent = 'shop-agent' } = change;
  return {
    n,
    kind: 'decided',
    body: {
      decision_id: asDecisionId(uuid7(Date.now(), randomBytes(10))),
      ...(callId === undefined ? {} : { call_id: callId }),
      verdict,
      reason: publicReason(code),
      policy: { digest: 'sha256:0', revision: 'r1-1' },
      obligations: [],
      valid_until: new Date(Date.now() + 30_000).toISOString(),
    },
    position: { epoch: 'e1', sequence: 7, index: 0 },
    durability: 'power-cut',
    agent,
    principal: `p:${agent}`,
    upstream: 'shop',
    session: '',
    repeated: false,
  };
}

/** Answers every call: decisions allow, and who asks is whoever the identity names. */
export const allowAll: Handle = (calls, say) =>
  say(calls.map(({ envelope }) => answerTo(envelope)));

export function answerTo(envelope: CallEnvelope): WorkerAnswer {
  const payload = Buffer.from(envelope.identity.split('.')[1] ?? '', 'base64url').toString();
  const agent = (JSON.parse(payload) as { sub: string }).sub;
  if (envelope.ask !== 'visible') return allowed(envelope, { agent });
  return { n: envelope.n, kind: 'visible', agent, principal: `p:${agent}`, tools: [] };
}

export async function startIngress(
  environment: Readonly<Record<string, string>> = {},
): Promise<TestIngress> {
  const dir = await mkdtemp(join(tmpdir(), 'countersign-ingress-'));
  const nats = await startNats({ shipped: true });
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
  await migrateStreams(await bus('migrate'), { replicas: 1, shrink: 64 });
  const operator = await bus('operator');
  const control = await operator.bucket('control');
  const put = async (key: string, value: unknown) => {
    await control.put(key, JSON.stringify({ sequence: 1, at: Date.now(), value }));
  };
  await put(CONTROL_KEYS.issuer(TENANT, 'idp'), { issuer: ISSUER, audiences: ['countersign'] });

  const file = async (name: string, text: string) => {
    await writeFile(join(dir, name), text, { mode: 0o600 });
    return join(dir, name);
  };
  const macKey = randomBytes(32);
  const healthPort = await anyFreePort();
  const running = await start(
    readConfig(IngressConfig, {
      COUNTERSIGN_NATS_URL: nats.url,
      COUNTERSIGN_NATS_PASSWORD_FILE: nats.passwordFile('ingress'),
      COUNTERSIGN_NATS_MONITOR_URL: nats.monitorUrl,
      COUNTERSIGN_HEALTH_PORT: String(healthPort),
      COUNTERSIGN_INGRESS_PORT: '0',
      COUNTERSIGN_LOG_LEVEL: process.env['TEST_LOG'] ?? 'fatal',
      COUNTERSIGN_SEAL_KEY_FILE: await file('seal', randomBytes(32).toString('base64')),
      COUNTERSIGN_MAC_KEYS_FILE: await file(
        'mac.json',
        JSON.stringify({ ingress: macKey.toString('base64') }),
      ),
      ...environment,
    }),
  );
  closing.push(running.stop);
  const worker = await bus('decision-worker');
  return {
    nats,
    url: running.url,
    healthUrl: `http://127.0.0.1:${healthPort}`,
    operator,
    macKey,
    ingressBus: () => bus('ingress'),
    put,
    standIn: async (handle) => {
      const subscription = worker.subscribe(SUBJECTS.calls, { queue: WORKER_QUEUE }, (message) => {
        handle(decodeCalls(message.string()), (answers) =>
          worker.publish(
            message.reply ?? '',
            typeof answers === 'string' ? answers : encodeAnswers(answers),
          ),
        );
      });
      // A round trip, so that the broker knows of the subscription.
      await worker.epoch('DECISIONS');
      return { stop: () => subscription.drain() };
    },
    post: async (path, body, headers = {}) => {
      const response = await fetch(running.url + path, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${identity()}`,
          ...headers,
        },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
      };
    },
    outcomes: async () => {
      const { state } = await operator.jsm.streams.info('OUTCOMES');
      const stored: StoredOutcome[] = [];
      for (let seq = 1; seq <= state.last_seq; seq += 1) {
        const message = await operator.jsm.streams.getMessage('OUTCOMES', { seq });
        if (message === null) continue;
        const header = message.header.get(HEADERS.mac);
        const signed = { subject: message.subject, body: message.data, header };
        const mac = checkMac(new Map([['ingress', [macKey]]]), signed);
        for (const { leaf, payload } of decodeRecords(message.string())) {
          stored.push({
            leaf: JSON.parse(leaf) as unknown,
            payload: JSON.parse(payload) as StoredOutcome['payload'],
            mac,
          });
        }
      }
      return stored;
    },
    close: async () => {
      for (const close of closing.reverse()) await close().catch(() => undefined);
      await nats.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

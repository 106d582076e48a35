// The row `steps`: what each step of a decision costs in CPU, in this process and over memory instead of a broker.
// The very functions that ingress and worker run, on the calls of the row `speed`. Best of several batches: what
// shares the cores makes a batch slower, never faster.

import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';

import { Compile } from 'typebox/compile';

import { principalDigest } from '#contracts/call-hash.ts';
import { decodeAnswers, decodeCalls, encodeAnswers, encodeCalls } from '#contracts/call.ts';
import { CONTROL_KEYS, type ControlEntry } from '#contracts/control.ts';
import { DecisionRequest } from '#contracts/http.ts';
import { PLATFORM, type Revision, type TenantId } from '#contracts/ids.ts';
import { canonical, type JsonObject, parseStrict } from '#contracts/json.ts';
import { macHeader } from '#contracts/mac.ts';
import { encodeRecords, type RecordLines } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { ControlView } from '#host/control-view.ts';
import { counter } from '#host/metrics.ts';
import type { KV, ObjectStore } from '#host/nats.ts';

import { approvalCheck } from '../services/decision-worker/checks/approval.ts';
import { budgetCheck } from '../services/decision-worker/checks/budget.ts';
import { capabilityCheck } from '../services/decision-worker/checks/capability.ts';
import { identityCheck } from '../services/decision-worker/checks/identity.ts';
import { intentCheck } from '../services/decision-worker/checks/intent.ts';
import { policyCheck } from '../services/decision-worker/checks/policy.ts';
import type { Call, Outcome } from '../services/decision-worker/decide.ts';
import { guarded } from '../services/decision-worker/guard.ts';
import { createJudge } from '../services/decision-worker/judge.ts';
import { createBundles } from '../services/decision-worker/points/bundles.ts';
import { capabilityOpener } from '../services/decision-worker/points/capabilities.ts';
import { catalogueOf } from '../services/decision-worker/points/catalogue.ts';
import { staleSourceOf } from '../services/decision-worker/points/fact-sources.ts';
import { identityVerifier } from '../services/decision-worker/points/issuers.ts';
import { rolloutOf } from '../services/decision-worker/points/rollout.ts';
import { scopeToken, stateOf } from '../services/decision-worker/points/state.ts';
import { freshDecisionId, freshSalt } from '../services/decision-worker/random.ts';
import { decisionRecord } from '../services/decision-worker/record.ts';
import { createRecorder } from '../services/decision-worker/recorder.ts';
import { createSeal } from '../services/ingress/seal.ts';
import type { Row } from './rows.ts';
import { figure } from './table.ts';
import { fillTenant, identityProvider, mintRoot, type Requests, shippedPolicy } from './tenant.ts';

const TENANT = 'plain' as TenantId;
const BATCHES = 80;
const BATCHES_QUICK = 20;
const BATCH = 200;
const GROUP = 16;
const GROUPED = `worker: ${GROUP} records made, into one message with its MAC`;

/** The control view over memory. */
export function memory() {
  const entries = new Map<string, ControlEntry>();
  const listeners: ((key: string, entry: ControlEntry) => void)[] = [];
  const keyed = new Map<string, unknown>();
  const blobs = new Map<string, Uint8Array>();
  const masterKey = randomBytes(32);
  let sequence = 0;
  const revision = 'rbench-1' as Revision;
  const view: ControlView = {
    // The bench wrote only values of the right shape.
    get: <T>(key: string) => entries.get(key) as ControlEntry<T> | undefined,
    keys: (prefix) => [...entries.keys()].filter((key) => key.startsWith(prefix)),
    onChange: (listener) => {
      listeners.push(listener);
      for (const [key, entry] of entries) listener(key, entry);
    },
    revision: () => revision,
    reached: () => true,
    waitFor: () => Promise.resolve(true),
    ageMs: () => 0,
    clockOffMs: () => 0,
    clockFault: () => '',
    close: () => Promise.resolve(),
  };
  const put = async (key: string, value: unknown) => {
    sequence += 1;
    const entry = { sequence, at: Date.now(), value };
    entries.set(key, entry);
    for (const listener of listeners) listener(key, entry);
  };
  return {
    view,
    masterKey,
    keyed: {
      get: async (key: string) => ({ operation: 'PUT', json: () => keyed.get(key) }),
    } as unknown as KV,
    store: { getBlob: async (digest: string) => blobs.get(digest) } as unknown as ObjectStore,
    writer: {
      put,
      activate: async (tenant: string, bundle: { digest: string; bytes: Uint8Array }) => {
        blobs.set(bundle.digest, bundle.bytes);
        await put(CONTROL_KEYS.policy(tenant), { digest: bundle.digest });
      },
      mint: async (tenant: TenantId, agent: string) => {
        const { token, key, minted } = mintRoot(masterKey, tenant, agent);
        keyed.set(key, minted);
        return token;
      },
    },
  };
}

async function worker() {
  const { view, masterKey, keyed, store, writer } = memory();
  const provider = await identityProvider();
  const policy = await shippedPolicy('tenant');
  const requests = await fillTenant(TENANT, writer, { provider, policy });
  await writer.activate(PLATFORM, await shippedPolicy('floor'));
  const state = stateOf(view, randomBytes(32));
  const catalogue = catalogueOf(view);
  const bundles = createBundles(view, store, {
    watchdog: { watched: (_tenant, _digest, evaluate) => evaluate, close: async () => undefined },
    log: console as never,
  });
  await bundles.settled(TENANT);
  const verifier = () => identityVerifier(view);
  const opener = () => capabilityOpener([masterKey], keyed, () => undefined);
  const noProof = () => Promise.reject(new Error('nobody sends a proof'));
  const identity = (verify = verifier()) =>
    identityCheck({ verify, prove: noProof, digest: principalDigest, ...state });
  const capability = (open = opener()) =>
    capabilityCheck({
      ...state,
      open,
      audience: 'countersign',
      revoked: () => false,
      engaged: () => false,
    });
  const rollout = rolloutOf(view);
  const counters = {
    draw: () => Promise.reject(new Error('there is no ceiling')),
    spent: () => undefined,
    giveBack: () => undefined,
    runawayLimits: () => Promise.resolve([]),
    onRunaway: () => undefined,
    scopeToken,
  };
  const checks = {
    identity: identity(),
    capability: capability(),
    intent: intentCheck(state),
    policy: policyCheck({
      ...state,
      ...bundles,
      mode: rollout.mode,
      staleSource: staleSourceOf(view),
    }),
    approval: approvalCheck({ key: masterKey, entry: () => Promise.resolve(undefined) }),
    budget: budgetCheck({ ...state, ...counters }),
  };
  return { requests, catalogue, rollout, checks, identity, capability, provider };
}

export type Step = readonly [name: string, run: () => unknown];

/** Microseconds of one run of each step: its best batch. In turn, so that a bad second spoils no step alone. */
export async function best(all: readonly Step[], batches: number): Promise<Record<string, number>> {
  const least: Record<string, number> = {};
  for (let batch = 0; batch < batches; batch += 1) {
    for (const [name, run] of all) {
      const from = performance.now();
      for (let count = 0; count < BATCH; count += 1) {
        const value = run();
        if (value instanceof Promise) await value;
      }
      const took = ((performance.now() - from) * 1_000) / BATCH;
      least[name] = Math.min(least[name] ?? took, took);
    }
  }
  return least;
}

function envelopeLine(request: Requests[number]): string {
  const body = parseStrict(Buffer.from(request.body)) as JsonObject;
  const { tool, upstream, arguments: args, ...context } = body as unknown as DecisionRequest;
  return encodeCalls([
    {
      envelope: {
        v: 1,
        n: 1,
        ask: 'decide',
        via: 'http',
        tenant: TENANT,
        sent_at: Date.now(),
        remaining_ms: 1_000,
        identity: request.headers['authorization']?.slice('Bearer '.length) ?? '',
        capability: request.headers['countersign-capability'] ?? '',
        tool,
        upstream: upstream ?? '',
        forwards: false,
        client: { address: '127.0.0.1', name: 'bench', version: '', era: '' },
        ...context,
      },
      args: canonical(args),
    },
  ]);
}

export const steps: Row = async ({ table, quick }) => {
  const { requests, catalogue, rollout, checks, identity, capability } = await worker();
  const [request] = requests;
  if (request === undefined) throw new Error('no calls');
  const bytes = Buffer.from(request.body);
  const body = parseStrict(bytes) as JsonObject;
  const shape = Compile(DecisionRequest);
  const message = envelopeLine(request);
  const [lines] = decodeCalls(message);
  if (lines === undefined) throw new Error('no call');
  const { envelope, args } = lines;
  const callNow = (): Call => ({
    envelope,
    trace: [],
    tenant: TENANT,
    args,
    arguments: JSON.parse(args) as JsonObject,
    at: Date.now(),
    tool: catalogue.find(TENANT, envelope.upstream, envelope.tool),
  });
  const call = callNow();
  const passed = <T>(checked: { ok: boolean; value?: T }): T => {
    if (!checked.ok || checked.value === undefined) throw new Error(JSON.stringify(checked));
    return checked.value;
  };
  const by = passed(await checks.identity(call));
  const under = passed(await checks.capability(call, by));
  const purpose = passed(await checks.intent(call, by));
  const grant = passed(await checks.policy(call, by, under, purpose));
  const outcome: Outcome = {
    verdict: 'allow',
    reason: 'policy.allowed',
    detail: '',
    principal: by,
    held: under,
    intent: purpose,
    grant,
    release: undefined,
    reservation: undefined,
    lifted: [],
  };
  const decided = {
    id: freshDecisionId(call.at),
    mode: 'enforce' as const,
    approvalId: '' as const,
    durability: 'power-cut' as const,
    worker: 'bench',
    receiptKey: '',
  };
  const record = decisionRecord(call, outcome, decided, freshSalt);
  const stored = encodeRecords([record]);
  const macKey = randomBytes(32);
  const recorded: RecordLines[] = [];
  const judge = createJudge({
    checks: guarded(checks, {
      runs: counter('bench_checks', 'For the bench.'),
      seconds: counter('bench_check_seconds', 'For the bench.'),
      failures: counter('bench_failures', 'For the bench.'),
      onError: (_check, error) => {
        throw error;
      },
    }),
    recorder: {
      record: async (line) => {
        recorded[0] = line;
        return { sequence: 1, index: 0 };
      },
      hold: async () => ({ sequence: 1, index: 0 }),
      use: async () => ({ sequence: 1, index: 0 }),
      waiting: () => 0,
    },
    callIds: {} as never, // no call of this row brings an id
    ...rollout,
    durability: () => ({ epoch: 'bench', durability: 'power-cut' }),
    worker: 'bench',
    receiptKey: () => '',
    tracing: { enabled: false } as never,
    onAnswer: () => undefined,
  });
  const answer = await judge(callNow());
  if (answer.kind !== 'decided') throw new Error(JSON.stringify(answer));
  const answerLine = encodeAnswers([answer]);
  const seal = createSeal(randomBytes(32));
  const toSeal = {
    kind: 'ref' as const,
    id: answer.body.decision_id,
    principal: answer.principal,
    expiresAt: Date.now(),
    position: answer.position,
  };

  const subject = SUBJECTS.decisionBatch(0);
  const signed = (text: string | Uint8Array) =>
    macHeader('decision-worker', macKey, { subject, body: text });
  const recorder = createRecorder(
    async (_subject, message) => {
      signed(message);
      if (typeof message === 'string') Buffer.from(message); // the client would
      return { sequence: 1, duplicate: false };
    },
    1_000,
    () => [],
  );
  const group = () =>
    Promise.all(
      Array.from({ length: GROUP }, () => {
        const fresh = decisionRecord(call, outcome, decided, freshSalt);
        return recorder.record(fresh, 0);
      }),
    );
  const measured: readonly Step[] = [
    ['ingress: strict parse of the body', () => parseStrict(bytes)],
    ['ingress: schema of the body', () => shape.Check(body)],
    ['ingress: canonical arguments', () => canonical(body['arguments'] ?? {})],
    ['ingress: encode the call', () => encodeCalls([lines])],
    ['worker: decode the call', () => decodeCalls(message)],
    ['worker: parse the arguments', () => JSON.parse(args)],
    ['worker: identity, token seen before', () => checks.identity(call)],
    ['worker: identity, new token (ES256)', () => identity()(call)],
    ['worker: capability, seen before', () => checks.capability(call, by)],
    ['worker: capability, new', () => capability()(call, by)],
    ['worker: intent', () => checks.intent(call, by)],
    ['worker: floor and policy', () => checks.policy(call, by, under, purpose)],
    ['worker: budget without ceilings', () => checks.budget(call, by, under, undefined)],
    ['worker: record', () => decisionRecord(call, outcome, decided, freshSalt)],
    ['worker: MAC of one record alone', () => signed(stored)],
    [GROUPED, () => group()],
    ['worker: all of judging, observed, without the bus', () => judge(callNow())],
    ['worker: encode the answer', () => encodeAnswers([answer])],
    ['ingress: decode the answer', () => decodeAnswers(answerLine)],
    ['ingress: seal the ref', () => seal.seal(toSeal)],
  ];
  const figures = await best(measured, quick ? BATCHES_QUICK : BATCHES);
  table({
    title: 'CPU of one step in microseconds',
    columns: ['', 'us'],
    rows: Object.entries(figures).map(([name, micros]) => [name, figure(micros)]),
    notes: [
      `Body ${bytes.length} bytes, record ${stored.length} bytes, answer ${answerLine.length} bytes.`,
    ],
  });
  return {
    steps: figures,
    bytes: { body: bytes.length, record: stored.length, answer: answerLine.length },
  };
};

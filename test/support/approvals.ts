// Held calls for real: a world with its workers, Postgres, the chainer, and one or more approval services.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { DATABASE, prepareDatabase } from '#cli/local/database.ts';
import type { DatabaseRole } from '#cli/local/secrets.ts';
import type { GrantTerms } from '#contracts/approval-grant.ts';
import type { ApprovalEntry } from '#contracts/approval.ts';
import { APPROVAL_KEYS, openEntry } from '#contracts/approval.ts';
import type { DecisionBody, WorkerAnswer } from '#contracts/call.ts';
import { CONTROL_KEYS, type Operator } from '#contracts/control.ts';
import {
  type DecisionStep,
  type HeldAsk,
  type HeldReply,
  parseHeldReply,
} from '#contracts/held.ts';
import { asApprovalId } from '#contracts/ids.ts';
import { NOTE_ED25519, showSignerKey } from '#contracts/note.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { type AtRest, atRest as atRestBy } from '#host/at-rest.ts';
import { readConfig } from '#host/config.ts';
import { readMacKeys } from '#host/keys.ts';
import type { Running } from '#host/run.ts';
import { signedRequester } from '#host/signed-request.ts';

import { EscalationConfig } from '../../services/approval-escalation/config.ts';
import { start as startEscalation } from '../../services/approval-escalation/main.ts';
import type { StepParts } from '../../services/approval-escalation/steps.ts';
import { ChainerConfig } from '../../services/audit-chainer/config.ts';
import { start as startChainer } from '../../services/audit-chainer/main.ts';
import { migrateDatabase } from '../../services/migrate/database.ts';
import { startPostgres, type TestPostgres } from './servers.ts';
import { startWorld, type World } from './world.ts';

/** Refunds wait for a person, lookups run. */
export const HOLD_REFUNDS = `package countersign.policy
default decision := {"verdict": "block"}
decision := {"verdict": "allow"} if input.call.tool == "lookup_order"
decision := {
  "verdict": "escalate",
  "reason": "refund",
  "message": "A person looks at refunds.",
  "obligations": [{"type": "tag", "name": "refund", "value": "yes"}],
  "approval": object.union({"risk": "medium", "ttl": 600, "effect": $"Refund {input.call.arguments.amount}."}, extra),
} if input.call.tool == "refund_order"
default extra := {}
`;

type Asks = HeldAsk['ask'];
type Ask<Name extends Asks> = Omit<Extract<HeldAsk, { ask: Name }>, 'v' | 'at'>;

export interface Approvals {
  readonly world: World;
  readonly postgres: TestPostgres;
  /** Seals and opens what stands in the database. */
  readonly atRest: AtRest;
  readonly query: <T>(sql: string, values?: readonly unknown[]) => Promise<T[]>;
  /** Another instance of the service. */
  readonly startService: (hooks?: Pick<StepParts, 'afterCommit'>) => Promise<Running>;
  readonly startChainer: () => Promise<Running>;
  /** What a process of the service is started with. */
  readonly environment: () => Promise<Readonly<Record<string, string>>>;
  readonly databaseUrl: (role: DatabaseRole) => string;
  readonly person: (id: string, more?: Partial<Operator>) => Promise<number>;
  readonly ask: <Name extends Asks>(ask: Ask<Name>, as?: string) => Promise<HeldReply<Name>>;
  /** Shows the call, waits until the preview is whole, and says yes to it. */
  readonly approve: (id: string, by?: string, grant?: GrantTerms) => Promise<HeldReply<'decide'>>;
  /** The same, and puts other arguments in place of the held ones. */
  readonly edit: (id: string, args: object | string, by?: string) => Promise<HeldReply<'decide'>>;
  readonly step: (
    id: string,
    step: 'deny' | 'cancel' | 'revoke' | 'acknowledge',
    by?: string,
    reason?: string,
  ) => Promise<HeldReply<'decide'>>;
  readonly entry: (id: string) => Promise<ApprovalEntry | undefined>;
  /** Waits until the entry under an id is in this state. */
  readonly until: (id: string, state: ApprovalEntry['state']) => Promise<ApprovalEntry>;
  readonly close: () => Promise<void>;
}

/** The decision in an answer. */
export function decided(answer: WorkerAnswer): DecisionBody {
  if (answer.kind !== 'decided') throw new Error(`not decided: ${JSON.stringify(answer)}`);
  return answer.body;
}

/** Verdict, reason and approval of an answer. */
export const told = (answer: WorkerAnswer): readonly [string, string, string] => {
  const { verdict, reason, approval_id: approval = '' } = decided(answer);
  return [verdict, reason.code, approval];
};

/** How long a busy machine takes is not what is tested. */
const PATIENCE_MS = 20_000;

/** Waits for a condition. */
export async function eventually<T>(
  look: () => Promise<T | undefined>,
  atMostMs = PATIENCE_MS,
): Promise<T> {
  const deadline = Date.now() + atMostMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error('it did not happen');
    await sleep(10);
  }
}

export async function startApprovals(
  options: {
    readonly workers?: number;
    readonly services?: number;
    /** A world that runs already, and goes on. */
    readonly over?: World;
  } = {},
): Promise<Approvals> {
  const [world, postgres] = await Promise.all([
    options.over ?? startWorld({ workers: options.workers ?? 1 }),
    startPostgres({ own: true }),
  ]);
  const password = randomBytes(12).toString('hex');
  await prepareDatabase(postgres.adminUrl, () => password);
  const databaseUrl = (role: DatabaseRole | 'postgres') => {
    const url = new URL(postgres.adminUrl);
    url.pathname = DATABASE;
    if (role !== 'postgres') [url.username, url.password] = [role, password];
    return url.href;
  };
  await migrateDatabase(databaseUrl('countersign_migrator'));
  const pool = new pg.Pool({ connectionString: databaseUrl('postgres'), max: 2 });
  pool.on('error', () => {});
  const running: Running[] = [];
  const atRestKey = randomBytes(32).toString('base64');
  const atRest = atRestBy([Buffer.from(atRestKey, 'base64')]);
  const environment = async (user: string, role: DatabaseRole) => ({
    COUNTERSIGN_NATS_URL: world.nats.url,
    COUNTERSIGN_NATS_PASSWORD_FILE: world.nats.passwordFile(user),
    COUNTERSIGN_NATS_MONITOR_URL: world.nats.monitorUrl,
    COUNTERSIGN_LOG_LEVEL: process.env['TEST_LOG'] ?? 'fatal',
    COUNTERSIGN_MAC_KEYS_FILE: world.macKeysFile,
    COUNTERSIGN_DATABASE_URL_FILE: await world.file(`${role}.url`, databaseUrl(role)),
    COUNTERSIGN_AT_REST_KEYS_FILE: await world.file('at-rest.json', JSON.stringify([atRestKey])),
  });
  const logKey = { name: 'log.example/test', type: NOTE_ED25519, seed: randomBytes(32) };
  const logKeyFile = await world.file('log.key', showSignerKey(logKey));
  const kept = async (start: Promise<Running>) => {
    const one = await start;
    running.push(one);
    return one;
  };
  const startService: Approvals['startService'] = async (hooks = {}) => {
    const env = await environment('approval-escalation', 'countersign_approvals');
    return kept(startEscalation(readConfig(EscalationConfig, env), hooks));
  };
  const start = async () => {
    const env = {
      ...(await environment('audit-chainer', 'countersign_chainer')),
      COUNTERSIGN_LOG_KEY_FILE: logKeyFile,
      COUNTERSIGN_WITNESS_POLICY_FILE: await world.file('witness-policy', 'quorum none\n'),
    };
    return kept(startChainer(readConfig(ChainerConfig, env)));
  };
  const person: Approvals['person'] = (id, more = {}) =>
    world.put(CONTROL_KEYS.operator(id), {
      id,
      name: id,
      roles: ['approver'],
      token_hash: `sha256:${'0'.repeat(64)}`,
      ...more,
    });
  if (options.over === undefined) {
    await world.put(CONTROL_KEYS.agent(world.tenant, 'shop-agent'), {
      class: 'shop',
      issuer: 'idp',
      grant: { tools: ['lookup_order', 'refund_order'] },
    });
  }
  await person('ada', { roles: ['approver', 'operator'] });
  await person('grace');
  for (let count = 0; count < (options.services ?? 1); count++) await startService();
  await start();

  const keys = readMacKeys(world.macKeysFile);
  const entries = await world.operator.bucket('approvals');
  const askers = new Map<string, ReturnType<typeof signedRequester>>();
  const ask: Approvals['ask'] = async <Name extends Asks>(what: Ask<Name>, as = 'admin') => {
    const request = askers.get(as) ?? signedRequester(await world.bus(as), keys);
    askers.set(as, request);
    const body = JSON.stringify({ v: 1, at: Date.now(), ...what });
    const reply = await request(SUBJECTS.held(world.tenant), body, { timeoutMs: PATIENCE_MS });
    return parseHeldReply<Name>(reply);
  };
  const entry: Approvals['entry'] = async (id) => {
    const place = APPROVAL_KEYS.id(world.tenant, id);
    const stored = await entries.get(place);
    if (stored === null) return undefined;
    const opened = openEntry(keys, place, stored.string());
    if (typeof opened === 'string') throw new Error(opened);
    return opened;
  };
  const shownOf = (id: string) =>
    eventually(async () => {
      const reply = await ask<'show'>({ ask: 'show', approval: asApprovalId(id) });
      return reply.ok && reply.value.shown !== '' ? reply.value.shown : undefined;
    });
  const decide = (step: DecisionStep, of: object) =>
    ask<'decide'>({
      ask: 'decide',
      step,
      via: 'api',
      shown: '',
      reason: '',
      ...of,
    } as Ask<'decide'>);
  return {
    world,
    postgres,
    atRest,
    query: async <T>(sql: string, values: readonly unknown[] = []) =>
      (await pool.query(sql, [...values])).rows as T[],
    startService,
    startChainer: start,
    environment: () => environment('approval-escalation', 'countersign_approvals'),
    databaseUrl,
    person,
    ask,
    approve: async (id, by = 'ada', grant) => {
      const shown = await shownOf(id);
      const granting = grant === undefined ? {} : { grant };
      return decide('approve', {
        approval: id,
        shown,
        by: { id: by, stepped_up_at: 0 },
        ...granting,
      });
    },
    edit: async (id, args, by = 'ada') =>
      decide('edit', {
        approval: id,
        shown: await shownOf(id),
        by: { id: by, stepped_up_at: 0 },
        reason: 'So it is right.',
        arguments: typeof args === 'string' ? args : JSON.stringify(args),
      }),
    step: (id, step, by = 'ada', reason = '') =>
      decide(step, { approval: id, by: { id: by, stepped_up_at: 0 }, reason }),
    entry,
    until: (id, state) =>
      eventually(async () => {
        const found = await entry(id);
        return found?.state === state ? found : undefined;
      }),
    close: async () => {
      for (const one of running.reverse()) await one.stop().catch(() => undefined);
      await pool.end();
      if (options.over === undefined) await world.close();
      await postgres.stop();
    },
  };
}
